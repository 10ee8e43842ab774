"""Writing a file so that it is either whole or not there, and naming what a file holds. Standard library only."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from advgen.core.errors import UserError


def write_atomically(path: Path, data: bytes | Callable[[IO[bytes]], object]) -> None:
    """Writes `path` through a temporary file beside it: written, fsynced, renamed; makes missing folders.

    Raises:
        UserError: the folder cannot be written or the disk is full; nothing is left behind.
    """
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
        with os.fdopen(handle, "wb") as file:
            if isinstance(data, bytes):
                file.write(data)
            else:
                data(file)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner can read; a result is as readable as any new file.
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        temporary = None
        _sync_folder(path.parent)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"cannot write {path}: {reason}; give a folder that can be written and has room.") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _umask() -> int:
    # The mask can only be read by setting it; /proc tells it without that race between threads.
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    except OSError:
        pass
    return 0o022


def _sync_folder(folder: Path) -> None:
    """Makes the rename itself durable, where the system lets folders be opened."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
