"""SIGINT and SIGTERM during a training: remembered, so that a step that has begun is finished and saved."""

import signal
import sys
import threading
from typing import Any


class Interrupts:
    """Sets `asked` at the first signal; a second one interrupts at once."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: object) -> None:
        if self.asked:
            raise KeyboardInterrupt  # a second time: at once, the state saved last stands
        self.asked = True
        print("interrupted: finishing this step and saving; once more to stop at once", file=sys.stderr)
