"""Pictures of a folder with captions: a CSV with the columns `file` and `caption`, or a `.txt` beside each picture.

A picture may have several captions: several lines of the CSV with its name, or several lines of its text file.
"""

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from advgen.core.errors import BadFile
from advgen.experiments.csv_lines import read_csv
from advgen.experiments.given import read_pictures

TABLE = "captions.csv"


class Captioned(NamedTuple):
    names: tuple[str, ...]
    images_u8: Tensor  # (N, 3, size, size)
    captions: tuple[tuple[str, ...], ...]  # one at least of each picture

    def hash(self) -> str:
        """Of pixels, names and captions."""
        whole = blake2b(self.images_u8.numpy().tobytes(), digest_size=16)
        for name, several in zip(self.names, self.captions, strict=True):
            whole.update("\x1f".join([name, *several, ""]).encode())
        return whole.hexdigest()

    def take(self, rows: Sequence[int]) -> "Captioned":
        return Captioned(
            tuple(self.names[i] for i in rows), self.images_u8[list(rows)], tuple(self.captions[i] for i in rows)
        )


def read_captioned(folder: Path, table: Path | None, size: int) -> Captioned:
    """Every picture of a folder, its centre square at `size` pixels; `table` None = its `captions.csv`, or text files.

    Raises:
        MissingFile: there is no such folder or table.
        BadFile: a picture without a caption, or files that are neither pictures nor captions.
    """
    found = read_pictures(folder, size=size, channels=3)
    inside = folder / TABLE
    if table is not None or inside.is_file():
        where, said = str(table or inside), _of_table(table or inside)
    else:
        where, said = "a text file of its name", {n: _of_file((folder / n).with_suffix(".txt")) for n in found.names}
    bare = [name for name in found.names if not said.get(name)]
    if bare:
        more = f" (nor have {len(bare) - 1} more)" if bare[1:] else ""
        raise BadFile(
            f"the picture {bare[0]!r} has no caption in {where}{more}; give a CSV with the columns file and caption, "
            f"paths relative to {folder}, or a .txt beside each picture."
        )
    return Captioned(found.names, found.images_u8, tuple(tuple(said[name]) for name in found.names))


def _of_table(path: Path) -> dict[str, list[str]]:
    said: dict[str, list[str]] = {}
    for line in read_csv(path, ("file", "caption")):
        if caption := " ".join(line["caption"].split()):
            said.setdefault(line["file"], []).append(caption)
    return said


def _of_file(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"{path} cannot be read as captions, one a line: {error}.") from None
    return [line for raw in text.splitlines() if (line := " ".join(raw.split()))]
