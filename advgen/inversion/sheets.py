"""Contact sheets of a generator's latents: a grid by seed, interpolation, mixing, truncation.

Every sheet names its seeds, on its margins and in its facts. Mixing and truncation: Karras et al., arXiv 1812.04948,
section 3.1 and appendix B.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from advgen.core.contact_sheets import MAX_CELLS, ContactSheet
from advgen.core.errors import BadArgument
from advgen.core.images import to_uint8
from advgen.core.rng import SampleRng
from advgen.core.specs import number
from advgen.generators.stylegan2.generator import StyleGAN2Generator
from advgen.generators.stylegan2.sample import condition_of, latents
from advgen.inversion.operations import mixing_table, morph, truncate

COARSE = 4  # rows of w that mixing exchanges unless told otherwise: pose and shape, in the paper's faces


@dataclass(frozen=True)
class Sheets:
    """Makes the sheets of one generator; seed n is `sample.latents`' z."""

    generator: StyleGAN2Generator
    psi: float = 1.0  # truncation of every w
    cutoff: int | None = None  # truncate only the first so many rows
    label: int | None = None  # class
    noise: str = "const"  # const, random or none
    source: Mapping[str, str] | None = None  # "weights", the file's name, and what else tells them
    batch_size: int = 8

    def grid(self, seeds: Sequence[int], *, columns: int | None = None) -> ContactSheet:
        """An image a seed, its seed below it."""
        across = min(len(seeds), columns or round(len(seeds) ** 0.5 + 0.49))
        images = self._images(self._w(seeds), [str(seed) for seed in seeds])
        empty = -len(seeds) % across
        cells, captions = [*images, *[None] * empty], [*(f"seed {seed}" for seed in seeds), *[""] * empty]
        return ContactSheet(
            [cells[at : at + across] for at in range(0, len(cells), across)],
            captions=[captions[at : at + across] for at in range(0, len(cells), across)],
            footer=self._footer(f"grid of {len(seeds)} seeds"),
            facts=self._facts("grid", seeds=list(seeds)),
        )

    def interpolation(self, seeds: Sequence[int], *, steps: int = 7) -> ContactSheet:
        """A row for each seed and the next one: the straight line between their w.

        Raises:
            BadArgument: fewer than two seeds or steps.
        """
        if len(seeds) < 2:
            raise BadArgument(f"an interpolation goes from seed to seed and needs two or more, got {len(seeds)}.")
        w = self._w(seeds)
        line = morph(w[:-1], w[1:], steps=steps)
        rows = [f"{a} to {b}" for a, b in pairwise(seeds)]
        shares = [f"{step / (steps - 1):.2f}" for step in range(steps)]
        return ContactSheet(
            self._table(line, rows, shares),
            [f"seed {row}" for row in rows],
            shares,
            footer=self._footer("interpolation in w between the seeds of a row; above, the second one's share"),
            facts=self._facts("interpolation", seeds=list(seeds), steps=steps),
        )

    def truncation(self, seeds: Sequence[int], psis: Sequence[float]) -> ContactSheet:
        """A row a seed, a column a psi: 1 = as drawn, 0 = the mean of w."""
        w, mean = self._w(seeds, psi=1.0), self.generator.mean_w
        table = torch.stack([truncate(w, mean, psi=psi, cutoff=self.cutoff) for psi in psis], 1)
        return ContactSheet(
            self._table(table, [str(seed) for seed in seeds], [f"{psi:g}" for psi in psis]),
            [f"seed {seed}" for seed in seeds],
            [f"psi {psi:g}" for psi in psis],
            footer=self._footer("truncation towards the mean of w", psi=False),
            facts={**self._facts("truncation", seeds=list(seeds), psis=list(psis)), "psi": None},
        )

    def mixing(
        self, down: Sequence[int], across: Sequence[int], *, layers: Sequence[int] | None = None
    ) -> ContactSheet:
        """Images of `down` with some `layers` (rows of w, None = the coarse ones) of those of `across`, which stand
        on the margins."""
        layers = list(range(min(COARSE, self.generator.num_ws // 2))) if layers is None else list(layers)
        w_down, w_across = self._w(down), self._w(across)
        table = mixing_table(w_down, w_across, rows=layers)
        top = [None, *self._images(w_across, [str(seed) for seed in across])]
        left = self._images(w_down, [str(seed) for seed in down])
        inner = self._table(table, [str(seed) for seed in down], [str(seed) for seed in across])
        told = _told(layers)
        return ContactSheet(
            [top, *([source, *row] for source, row in zip(left, inner))],
            ["", *(f"seed {seed}" for seed in down)],
            ["", *(f"seed {seed}" for seed in across)],
            margins=True,
            footer=self._footer(f"style mixing: {told} of w from the column's seed, all others from the row's"),
            facts=self._facts("mixing", rows=list(down), columns=list(across), layers=layers),
        )

    def _w(self, seeds: Sequence[int], *, psi: float | None = None) -> Tensor:
        if not seeds:
            raise BadArgument("a sheet needs at least one seed.")
        if len(seeds) > MAX_CELLS:
            raise BadArgument(f"a sheet of {len(seeds)} seeds was asked for; at most {MAX_CELLS} fit.")
        c = condition_of(self.generator, self.label, len(seeds))
        psi = self.psi if psi is None else psi
        with torch.no_grad():
            return self.generator.mapping(latents(self.generator, seeds), c, psi=psi, cutoff=self.cutoff)

    def _table(self, w: Tensor, rows: Sequence[str], columns: Sequence[str]) -> list[list[Tensor]]:
        """Images of w (A, B, L, D), as lists."""
        if w.shape[0] * w.shape[1] > MAX_CELLS:
            raise BadArgument(f"a sheet of {w.shape[0]} x {w.shape[1]} images was asked for; at most {MAX_CELLS} fit.")
        images = self._images(w.flatten(0, 1), [f"{row}/{column}" for row in rows for column in columns])
        across = w.shape[1]
        return [images[at : at + across] for at in range(0, len(images), across)]

    @torch.no_grad()
    def _images(self, w: Tensor, ids: Sequence[str]) -> list[Tensor]:
        """uint8 (C, H, W), one a row of w; `ids` draw random noise."""
        made: list[Tensor] = []
        for at in range(0, len(w), self.batch_size):
            some = slice(at, at + self.batch_size)
            rng = SampleRng.for_samples(0, "generate", ids[some])
            made += to_uint8(self.generator.synthesis(w[some], noise=self.noise, rng=rng).clamp(0, 1))
        return made

    def _footer(self, what: str, *, psi: bool = True) -> str:
        settings = [f"psi {self.psi:g}"] if psi else []
        settings += [f"first {self.cutoff} rows only"] if self.cutoff is not None else []
        settings += [f"class {self.label}"] if self.label is not None else []
        settings += [f"noise {self.noise}"]
        settings += [f"weights {self.source['weights']}"] if self.source else []
        return f"{what}\n" + ", ".join(settings)

    def _facts(self, sheet: str, **more: Any) -> dict[str, Any]:
        settings = {"psi": self.psi, "cutoff": self.cutoff, "class": self.label, "noise": self.noise}
        return {"sheet": sheet, **more, **settings, **(self.source or {})}


def numbers_of(text: str, what: str) -> list[float]:
    """ "1,0.7,0.5"; `what` is what errors call them."""
    return [number(piece.strip(), what) for piece in text.split(",")]


def _told(layers: Sequence[int]) -> str:
    if len(layers) > 1 and list(layers) == list(range(layers[0], layers[-1] + 1)):
        return f"rows {layers[0]} to {layers[-1]}"
    return f"row{'s' if len(layers) != 1 else ''} {', '.join(str(layer) for layer in layers) or 'none'}"
