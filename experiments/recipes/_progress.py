"""Progress of a training on stderr: a moving bar on a terminal, else one line an epoch."""

import sys
import time
from typing import Any


class Progress:
    """Shows steps as they come and one line for every validation."""

    def __init__(self, name: str, total: int) -> None:
        self.name, self.total = name, total
        self.begun, self.first = time.monotonic(), 0
        self.bar: Any = None

    def __enter__(self) -> "Progress":
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("loss {task.fields[loss]:.4f}"),
                TimeRemainingColumn(),
            )
            self.bar = Bar(*columns, console=Console(stderr=True), transient=True)
            self.task = self.bar.add_task(self.name, total=self.total, loss=float("nan"))
            self.bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def stepped(self, step: int, loss: float) -> None:
        self.first = self.first or step
        self.step = step
        if self.bar is not None:
            self.bar.update(self.task, completed=step, loss=loss)

    def validated(self, epoch: int, loss: float, score: float, best: float) -> None:
        here = time.monotonic() - self.begun
        left = here * (self.total - self.step) / max(1, self.step - self.first + 1)
        line = f"{self.name}: epoch {epoch}, step {self.step}/{self.total}, loss {loss:.4f}, validation {score:.4f} "
        line += f"(best {best:.4f}), {left:.0f} s left"
        if self.bar is not None:
            self.bar.console.print(line, highlight=False)
        else:
            print(line, file=sys.stderr, flush=True)
