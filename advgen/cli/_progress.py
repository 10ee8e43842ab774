"""Progress over cells on stderr: a bar on a terminal, a line a cell elsewhere."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from advgen.core.specs import Cell

if TYPE_CHECKING:
    from advgen.experiments.measurement import Measurement
    from advgen.experiments.run import Progress


@contextmanager
def following(stream: TextIO, labels: "Mapping[str, str] | None" = None) -> "Iterator[Callable[[Progress], None]]":
    """A function to tell of each finished cell; `labels` are what a study calls its parts."""
    with (_bar if stream.isatty() else _lines)(stream, labels or {}) as tell:
        yield tell


def described(cell: "Cell | Measurement", labels: Mapping[str, str]) -> str:
    """A cell in a few words."""
    if not isinstance(cell, Cell):
        return str(cell)
    attack = f"{cell.attack} {cell.budget or ''}".strip() if cell.attack else "clean baseline"
    whole = "+".join(str(p) for p in cell.defense)
    defense = labels.get(whole) or " + ".join(labels.get(str(p), str(p)) for p in cell.defense)
    against = f" against {defense} ({cell.knowledge})" if defense else ""
    return f"{cell.data.name} {cell.target.name}: {attack}{against}"


@contextmanager
def _bar(stream: TextIO, labels: Mapping[str, str]) -> "Iterator[Callable[[Progress], None]]":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("cells"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"),
        TimeRemainingColumn(), TextColumn("{task.description}", markup=False),
    )  # fmt: skip
    with Bar(*columns, console=Console(file=stream)) as bar:
        task = bar.add_task("starting", total=None)

        def tell(progress: "Progress") -> None:
            bar.update(
                task, total=progress.total, completed=progress.done, description=described(progress.cell, labels)
            )

        yield tell


@contextmanager
def _lines(stream: TextIO, labels: Mapping[str, str]) -> "Iterator[Callable[[Progress], None]]":
    begun = time.monotonic()
    made = 0

    def tell(progress: "Progress") -> None:
        nonlocal made
        made += not progress.was_there
        spent = time.monotonic() - begun
        left = spent / made * (progress.total - progress.done) if made else 0.0
        what = "was done" if progress.was_there else f"{spent:.0f} s, about {left:.0f} s left"
        print(
            f"[{progress.done}/{progress.total}] {described(progress.cell, labels)} ({what})", file=stream, flush=True
        )

    yield tell
