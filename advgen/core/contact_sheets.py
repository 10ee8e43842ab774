"""Contact sheets: images in rows and columns with what they are on the margins, and in the file's metadata."""

import io
import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from advgen.core.errors import BadArgument
from advgen.core.files import write_atomically
from advgen.core.provenance import Provenance, Source, SourceType, signed

KEYWORD = "advgen"  # of the PNG's text chunk, which holds `facts` as JSON
MAX_CELLS = 2500
_FONT_SIZE = 13  # pixels
_LEAST = 80  # pixels a cell's side, so that a label fits over it
_GAP = 4  # pixels
_PAPER, _INK, _GREY = (255, 255, 255), (20, 20, 20), (90, 90, 90)


@dataclass(frozen=True)
class ContactSheet:
    """What a sheet shows; `rows` and `columns` label its margins, each as many as there are or none."""

    cells: Sequence[Sequence[Tensor | None]]  # rows of uint8 (C, H, W) of one size; None stays empty
    rows: Sequence[str] = ()
    columns: Sequence[str] = ()
    captions: Sequence[Sequence[str]] = ()  # under each cell, or none
    footer: str = ""
    margins: bool = False  # the first row and column stand apart from the rest
    facts: Mapping[str, Any] | None = None  # for a machine to read
    maker: str = "advgen contact sheet"
    source_type: SourceType = "trainedAlgorithmicMedia"
    sources: tuple[Source, ...] = ()

    def __post_init__(self) -> None:
        across = {len(row) for row in self.cells}
        sizes = {tuple(image.shape) for row in self.cells for image in row if image is not None}
        if not sizes or len(across) != 1:
            raise BadArgument("a contact sheet needs images, and as many places in every row.")
        if len(sizes) > 1:
            first, other = sorted(sizes)[:2]
            raise BadArgument(f"the images of a contact sheet must be of one size, got {first} and {other}.")
        if len(self.cells) * across.pop() > MAX_CELLS:
            raise BadArgument(f"a contact sheet holds at most {MAX_CELLS} images; ask for fewer.")
        assert len(self.rows) in (0, len(self.cells))
        assert len(self.columns) in (0, len(self.cells[0]))

    def picture(self) -> Image.Image:
        """The sheet; small images are enlarged by a whole factor, so that their pixels stay as they are."""
        font = ImageFont.load_default(_FONT_SIZE)
        image = next(image for row in self.cells for image in row if image is not None)
        labels = [*self.columns, *(caption for row in self.captions for caption in row)]
        wanted = max([_LEAST, *(_width(font, label) + _GAP for label in labels)])
        scale = -(-wanted // min(image.shape[-2:]))
        height, width = (scale * side for side in image.shape[-2:])
        line = _FONT_SIZE + 6
        step_across, step_down = width + _GAP, height + _GAP + (line if self.captions else 0)
        left = _GAP + max((_width(font, label) + 2 * _GAP for label in self.rows), default=0)
        top = _GAP + (line if self.columns else 0)
        apart = 2 * _GAP if self.margins else 0
        whole = max(left + step_across * len(self.cells[0]) + apart, 20 * _FONT_SIZE)
        footer = _wrapped(self.footer, font, whole - 2 * _GAP)
        below = top + step_down * len(self.cells) + apart
        sheet = Image.new("RGB", (whole, below + line * len(footer) + (_GAP if footer else 0)), _PAPER)
        draw = ImageDraw.Draw(sheet)
        for column, label in enumerate(self.columns):
            x = left + step_across * column + (apart if column else 0)
            draw.text((x + width / 2, top - line / 2 - 1), label, _INK, font, anchor="mm")
        for row, images in enumerate(self.cells):
            y = top + step_down * row + (apart if row else 0)
            if self.rows:
                draw.text((left - 2 * _GAP, y + height / 2), self.rows[row], _INK, font, anchor="rm")
            for column, cell in enumerate(images):
                x = left + step_across * column + (apart if column else 0)
                if cell is not None:
                    sheet.paste(_enlarged(cell, scale), (x, y))
                if self.captions:
                    at = (x + width / 2, y + height + line / 2)
                    draw.text(at, self.captions[row][column], _INK, font, anchor="mm")
        for number, text in enumerate(footer):
            draw.text((_GAP, below + line * number + line / 2), text, _GREY if number else _INK, font, anchor="lm")
        return sheet

    def save(self, path: str | Path) -> None:
        """Writes a PNG, whole or not at all, with its provenance, and with `facts` in its text chunk `advgen`.

        Raises:
            UserError: the folder cannot be written or the disk is full.
        """
        info, buffer = PngInfo(), io.BytesIO()
        info.add_text(KEYWORD, json.dumps(self.facts or {}))
        self.picture().save(buffer, "PNG", pnginfo=info)
        made = Provenance(self.source_type, self.maker, self.facts or {}, self.sources)
        write_atomically(Path(path), signed(buffer.getvalue(), made))


def read_facts(path: str | Path) -> dict[str, Any]:
    """What `save` wrote into a PNG's metadata; empty where there is nothing."""
    with Image.open(path) as image:
        facts: dict[str, Any] = json.loads(image.info.get(KEYWORD, "{}"))
    return facts


def _enlarged(image: Tensor, scale: int) -> Image.Image:
    pixels = image.expand(3, -1, -1).permute(1, 2, 0).cpu().contiguous().numpy()
    return Image.fromarray(np.repeat(np.repeat(pixels, scale, 0), scale, 1))


def _width(font: Any, text: str) -> int:
    return int(font.getlength(text)) + 1


def _wrapped(text: str, font: Any, width: int) -> list[str]:
    """Lines of at most `width` pixels."""
    per_letter = max(1.0, font.getlength(text) / max(1, len(text)))
    return [line for part in text.splitlines() for line in textwrap.wrap(part, int(0.95 * width / per_letter))]
