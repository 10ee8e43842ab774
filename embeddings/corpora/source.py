"""What every corpus shares: opening compressed files that may be damaged, and the account of what a reading lost."""

import bz2
import gzip
import io
import lzma
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

from advgen.core.errors import BadArgument, MissingFile

_MAGIC: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_DAMAGE = (EOFError, OSError, zlib.error, lzma.LZMAError)


class Loss(NamedTuple):
    """Something of a file that could not be read; the rest went on."""

    file: str
    what: str


@dataclass
class Account:
    """What one reading of a corpus found, removed by rule, and lost."""

    read: Counter[str] = field(default_factory=Counter)  # files, documents, paragraphs, tokens
    removed: Counter[str] = field(default_factory=Counter)  # occurrences by cleaning rule
    removed_characters: Counter[str] = field(default_factory=Counter)  # characters of mark-up by cleaning rule
    lost: list[Loss] = field(default_factory=list)

    def remove(self, rule: str, text: object = "") -> None:
        """Counts one removal."""
        self.removed[rule] += 1
        self.removed_characters[rule] += len(str(text))

    def lose(self, file: Path, what: str) -> None:
        """Notes a loss, with the name of the file."""
        self.lost.append(Loss(str(file), what))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        removed = {
            rule: {"times": n, "characters": self.removed_characters[rule]} for rule, n in self.removed.most_common()
        }
        return {"read": dict(self.read), "removed": removed, "lost": [loss._asdict() for loss in self.lost]}

    @classmethod
    def from_dict(cls, told: dict[str, Any]) -> Self:
        """The account that `as_dict` told of."""
        return cls(
            Counter(told["read"]),
            Counter({rule: what["times"] for rule, what in told["removed"].items()}),
            Counter({rule: what["characters"] for rule, what in told["removed"].items()}),
            [Loss(**loss) for loss in told["lost"]],
        )

    def add(self, other: "Account") -> None:
        """Takes over what another account holds, that of a part."""
        self.read.update(other.read)
        self.removed.update(other.removed)
        self.removed_characters.update(other.removed_characters)
        self.lost += other.lost


class Border(NamedTuple):
    """A place between two pieces of a corpus; everything before it is in the account, and a reading may go on there."""

    file: int = 0  # files read
    inside: int = 0  # pieces of the next file: lines, pages
    kept: bytes | bytearray = b""  # what the corpus remembers of the files before; not to be changed


START = Border()


class Corpus(Protocol):
    """A stream of paragraphs, in constant memory; each call reads anew, or from a border on."""

    @property
    def name(self) -> str: ...
    @property
    def paths(self) -> Sequence[Path]: ...
    def read(self, account: Account, start: Border = START) -> Iterator[str | Border]: ...
    def paragraphs(self, account: Account) -> Iterator[str]: ...


def texts(pieces: Iterator[str | Border]) -> Iterator[str]:
    """The paragraphs of a reading, without its borders."""
    return (piece for piece in pieces if isinstance(piece, str))


def checked(paths: Sequence[str | Path]) -> tuple[Path, ...]:
    """Files that are there; a folder stands for the files in it, by name.

    Raises:
        MissingFile: one is not.
        BadArgument: none was given.
    """
    found: list[Path] = []
    for given in map(Path, paths):
        if given.is_dir():
            found += sorted(p for p in given.iterdir() if p.is_file() and p.suffix != ".md5")
        elif given.is_file():
            found.append(given)
        else:
            raise MissingFile(f"there is no corpus file {str(given)!r}.")
    if not found:
        raise BadArgument("no corpus file was given; name at least one file or a folder that holds some.")
    return tuple(found)


def opened(path: Path, account: Account) -> io.BufferedReader:
    """The decompressed bytes of a plain, gz, bz2 (also multistream) or xz file, whatever its name.

    Where the file is cut off or damaged, the stream ends and the account says at which byte.
    """
    with path.open("rb") as file:
        head = file.read(6)
    opener = next((o for magic, o in _MAGIC.items() if head.startswith(magic)), None)
    raw = opener(path, "rb") if opener else path.open("rb")
    return io.BufferedReader(_UntilDamage(raw, path, account), buffer_size=1 << 18)


class _UntilDamage(io.RawIOBase):
    """A stream that ends where its source is damaged."""

    def __init__(self, source: Any, path: Path, account: Account) -> None:
        self._source, self._path, self._account = source, path, account
        self._read = 0
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._ended:
            return 0
        try:
            # read1 hands out what stands before the damage; read would raise in its place.
            data = self._source.read1(len(buffer))
        except _DAMAGE as error:
            self._ended = True
            self._account.lose(self._path, f"cut off or damaged after {self._read:,} decompressed bytes ({error})")
            return 0
        buffer[: len(data)] = data
        self._read += len(data)
        return len(data)

    def close(self) -> None:
        self._source.close()
        super().close()
