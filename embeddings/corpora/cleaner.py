"""The wikitext parser in a process of its own: some pages keep it busy for minutes, and compiled code cannot be stopped
from inside. A page that takes too long is given up and its process replaced.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Collection
from threading import Event, Timer

from advgen.embeddings.corpora.source import Account

_SERVE = "from advgen.embeddings.corpora.cleaner import serve; serve()"


class PageLost(Exception):
    """A page that could not be cleaned; says why. The next one can."""


class Cleaner:
    """Cleans page after page in a process that is started by the first one; `end` ends it."""

    def __init__(self, *, seconds: float = 20.0) -> None:
        self.seconds = seconds  # for one page
        self._process: subprocess.Popen[str] | None = None

    def paragraphs(self, text: str, files: Collection[str], categories: Collection[str], account: Account) -> list[str]:
        """The prose of a page, as `wikitext.paragraphs` gives it.

        Raises:
            PageLost: it took too long, or ended the parser.
        """
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        late = Event()

        def stop() -> None:
            late.set()
            process.kill()  # ends the read below, on every system

        timer = Timer(self.seconds, stop)
        timer.start()
        try:
            process.stdin.write(json.dumps([text, sorted(files), sorted(categories)]) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        finally:
            timer.cancel()
        if not answer.endswith("\n"):
            self.end()
            what = f"took over {self.seconds:g} s" if late.is_set() else "ended the parser"
            raise PageLost(f"its mark-up {what}")
        found, removed, characters = json.loads(answer)
        account.removed.update(removed)
        account.removed_characters.update(characters)
        return [str(paragraph) for paragraph in found]

    def _start(self) -> "subprocess.Popen[str]":
        # -P: the current folder never enters the import path.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
        )
        return self._process

    def kill(self) -> None:
        """Ends the process under a call to `paragraphs`, from another thread: that call raises PageLost."""
        process = self._process
        if process is not None:
            process.kill()

    def end(self) -> None:
        """Ends the process; the next page starts another."""
        if self._process is None:
            return
        self._process.kill()
        self._process.communicate()
        self._process = None


def serve() -> None:
    """Answers a line of JSON with a line of JSON until stdin ends."""
    from advgen.embeddings.corpora.wikitext import paragraphs

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    for line in sys.stdin:
        text, files, categories = json.loads(line)
        account = Account()
        found = list(paragraphs(text, files, categories, account))
        print(json.dumps([found, account.removed, account.removed_characters]), flush=True)
