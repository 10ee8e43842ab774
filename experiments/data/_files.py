"""Where published data sets lie, and our readers of their files (idx, npz, CIFAR binary): nothing is unpickled freely.

Looked for in `images/<name>` of the data folder ($ADVGEN_DATA, else the platform's cache folder). Files may be gzipped
or not, and lie in the folder itself or where torchvision unpacks them. Nothing is downloaded.
"""

import gzip
import io
import os
import pickle
import sys
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from advgen.core.checkpoints import data_home
from advgen.core.errors import BadFile, MissingFile

IDX_IMAGES, IDX_LABELS = 0x803, 0x801  # magic numbers: unsigned bytes in three dimensions, in one


def cache_folder() -> Path:
    """The platform's own folder for what can be made again; $ADVGEN_DATA, which may be shared, plays no part."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "advgen"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "advgen"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "advgen"


def folder(name: str) -> Path:
    """Where the data set `name` lies."""
    return data_home() / "images" / name


def locate(name: str, choices: Sequence[str], remedy: str) -> Path:
    """The first of `choices` (relative paths of equal content, plain or with .gz) that exists.

    Raises:
        MissingFile: none does; says which file, where to put it, and `remedy`, how to get it.
    """
    home = folder(name)
    for choice in choices:
        for path in (home / choice, home / f"{choice}.gz"):
            if path.is_file():
                return path
    where = f"put it into {home}" + ("" if os.environ.get("ADVGEN_DATA") else " or set ADVGEN_DATA to a data folder")
    raise MissingFile(f"data set {name!r} needs the file {choices[0]}: {where}; {remedy}.")


def read_idx(path: Path, magic: int, start: int, stop: int | None) -> np.ndarray:
    """Items start .. stop - 1 of an idx file, uint8 (n, …); only what comes before `stop` is read.

    Raises:
        BadFile: another kind of file, or cut off.
    """
    try:
        with _opened(path) as file:
            shape = _idx_shape(file, magic, path)
            stop = shape[0] if stop is None else min(stop, shape[0])
            item = int(np.prod(shape[1:], dtype=np.int64))
            if shape[0] > 10_000_000 or item > 10_000_000:
                raise BadFile(f"{path} claims {shape[0]:,} items of {item:,} bytes; expected an MNIST-like file.")
            _skip(file, start * item, path)
            data = _exactly(file, max(0, stop - start) * item, path)
    except (OSError, EOFError, zlib.error) as error:
        raise BadFile(f"{path} cannot be read ({error}); get the file again.") from None
    return np.frombuffer(data, np.uint8).reshape(max(0, stop - start), *shape[1:])


def idx_length(path: Path, magic: int) -> int:
    """Number of items that an idx file says it holds."""
    try:
        with _opened(path) as file:
            return _idx_shape(file, magic, path)[0]
    except (OSError, EOFError, zlib.error) as error:
        raise BadFile(f"{path} cannot be read ({error}); get the file again.") from None


def read_npz(path: Path, keys: tuple[str, ...]) -> tuple[np.ndarray, ...]:
    """The named arrays of an .npz file.

    Raises:
        BadFile: not an .npz, an array is missing, or it holds pickled objects.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [key for key in keys if key not in archive.files]
            if missing:
                raise BadFile(
                    f"{path} lacks the array {missing[0]!r}; it holds {', '.join(archive.files) or 'nothing'}."
                )
            return tuple(archive[key] for key in keys)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, AttributeError) as error:
        raise BadFile(f"{path} is not an .npz of plain arrays ({error}).") from None


def read_cifar_binary(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (n, 32, 32, 3) and labels int64 (n,) of a batch of "CIFAR-10 binary version"."""
    rows = np.frombuffer(path.read_bytes(), np.uint8)
    if len(rows) == 0 or len(rows) % 3073:
        raise BadFile(f"{path} holds {len(rows):,} bytes; a CIFAR-10 binary batch is a multiple of 3,073.")
    rows = rows.reshape(-1, 3073)
    return rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), rows[:, 0].astype(np.int64)


def read_cifar_python(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The same of a batch of "CIFAR-10 python version", which torchvision unpacks; a pickle of plain arrays."""
    try:
        batch = _PlainArrays(io.BytesIO(path.read_bytes()), encoding="latin1").load()
        images = np.asarray(batch["data"], np.uint8).reshape(-1, 3, 32, 32)
        labels = np.asarray(batch["labels"], np.int64)
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise BadFile(f"{path} is not a batch of the CIFAR-10 python version ({error}).") from None
    return images.transpose(0, 2, 3, 1), labels


class _PlainArrays(pickle.Unpickler):
    """Builds dicts, lists, numbers and NumPy arrays; every other name in a pickle is refused before it is imported."""

    def find_class(self, module: str, name: str) -> Any:
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return _empty_array
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):
            return _latin1  # how Python 3 writes bytes into an old pickle
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which plain arrays never do")


def _empty_array(kind: type, shape: tuple[int, ...], code: str | bytes) -> np.ndarray:
    return np.ndarray.__new__(np.ndarray, (0,), "b")


def _latin1(text: str, encoding: str) -> bytes:
    return text.encode("latin1")


def _opened(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _idx_shape(file: IO[bytes], magic: int, path: Path) -> list[int]:
    found = int.from_bytes(_exactly(file, 4, path), "big")
    if found != magic:
        raise BadFile(f"{path} is not the idx file that was expected: magic {found:#x}, not {magic:#x}.")
    dimensions = magic & 0xFF
    return [int(n) for n in np.frombuffer(_exactly(file, 4 * dimensions, path), ">u4")]


def _exactly(file: IO[bytes], count: int, path: Path) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise BadFile(f"{path} is cut off: {count:,} bytes were expected and {len(data):,} came; get the file again.")
    return data


def _skip(file: IO[bytes], count: int, path: Path) -> None:
    while count > 0:
        count -= len(_exactly(file, min(count, 1 << 20), path))
