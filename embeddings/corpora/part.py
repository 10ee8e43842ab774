"""Tokens while they are being written: the file so far and, every so often, the state of the reading beside it."""

import base64
import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from advgen.core.errors import UserError
from advgen.core.files import write_atomically
from advgen.embeddings.corpora.source import Account, Border


class Part:
    """An unfinished file of tokens; opened anew, it stands where `keep` was last called."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part, self._state = path.with_suffix(".part"), path.with_suffix(".part.json")
        self.border, self.account = Border(), Account()
        self.sentences = self.words = 0
        self._digest = hashlib.sha256()

    def __enter__(self) -> Self:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._part.open("r+b" if self._part.is_file() else "w+b")
            self._go_on()
        except OSError as error:
            raise self._cannot(error) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    @property
    def hash(self) -> str:
        """SHA-256 of what stands in the file."""
        return self._digest.hexdigest()

    def write(self, words: Sequence[str]) -> None:
        """One sentence."""
        line = " ".join(words).encode() + b"\n"
        try:
            self._file.write(line)
        except OSError as error:
            raise self._cannot(error) from error
        self._digest.update(line)
        self.sentences += 1
        self.words += len(words)

    def keep(self, border: Border) -> None:
        """Makes this the place where a later reading goes on."""
        self._flush()
        state = {
            "bytes": self._file.tell(), "hash": self.hash, "sentences": self.sentences, "words": self.words,
            "file": border.file, "inside": border.inside, "account": self.account.as_dict(),
            "kept": base64.b64encode(zlib.compress(bytes(border.kept), 1)).decode(),
        }  # fmt: skip
        write_atomically(self._state, json.dumps(state).encode())

    def finish(self) -> None:
        """Gives the file its name."""
        self._flush()
        self._file.close()
        os.replace(self._part, self._path)
        self._state.unlink(missing_ok=True)

    def drop(self) -> None:
        """Leaves nothing behind."""
        self._file.close()
        self._part.unlink(missing_ok=True)
        self._state.unlink(missing_ok=True)

    def _go_on(self) -> None:
        """Takes over the last state if the file holds what it says; else begins anew."""
        state = self._found()
        if state is not None:
            self._digest = hashlib.sha256()
            left = int(state["bytes"])
            while left and (piece := self._file.read(min(left, 1 << 20))):
                self._digest.update(piece)
                left -= len(piece)
            if not left and self.hash == state["hash"]:
                self.sentences, self.words = state["sentences"], state["words"]
                self.account = Account.from_dict(state["account"])
                kept = zlib.decompress(base64.b64decode(state["kept"]))
                self.border = Border(state["file"], state["inside"], kept)
            else:
                self._digest = hashlib.sha256()
                self._file.seek(0)
        self._file.truncate()

    def _found(self) -> dict[str, Any] | None:
        try:
            state: dict[str, Any] = json.loads(self._state.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return state

    def _flush(self) -> None:
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._cannot(error) from error

    def _cannot(self, error: OSError) -> UserError:
        reason = error.strerror or str(error)
        return UserError(f"cannot write {self._part}: {reason}; give a folder that can be written and has room.")


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Waits until no other process is inside with the same `lock`; on Windows it does not wait."""
    if os.name == "nt":
        yield
        return
    import fcntl

    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("wb")
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"cannot write {lock}: {reason}; give a folder that can be written and has room.") from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
        # Only where the tokens are finished: who waits for this file, or makes another one, will find them.
        lock.unlink(missing_ok=True)
