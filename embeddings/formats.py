"""Files of vectors: ours (safetensors and a card), word2vec text and binary, GloVe text. Nothing is ever unpickled."""

import codecs
import io
import json
import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from advgen.core import checkpoints
from advgen.core.checkpoints import read_card
from advgen.core.errors import BadArgument, BadFile, MissingFile
from advgen.core.files import sha256, write_atomically
from advgen.core.specs import Card
from advgen.embeddings.vectors import Vectors

Format = Literal["word2vec-text", "word2vec-binary", "glove"]
_SNIFFED = 1 << 16


def save(path: Path, vectors: Vectors, card: Card, *, half: bool = False) -> Card:
    """Writes `NAME.safetensors` and its card; returns the card with the file's hash.

    `half` rounds to 16 bits, about three digits: half the size, and read back as 32 bits.
    """
    import torch

    _refuse_words_with(("\n",), vectors)
    with np.errstate(over="ignore"):  # refused below
        matrix = np.array(vectors.matrix, dtype=np.float16 if half else np.float32, order="C")
    if half and not np.isfinite(matrix).all():
        raise BadArgument(f"a number over {np.finfo(np.float16).max:,.0f} does not fit 16 bits; save with 32.")
    words = np.frombuffer("\n".join(vectors.words).encode(), dtype=np.uint8)
    tensors = {"matrix": torch.from_numpy(matrix), "words": torch.tensor(words)}
    if vectors.counts is not None:
        tensors["counts"] = torch.from_numpy(np.array(vectors.counts))
    return checkpoints.save(path, tensors, card)


def find(ref: str) -> Path:
    """The file of a reference: a path as it is, a plain name (`wikipedia_glove`) where weights are looked for.

    Raises:
        MissingFile: no weights of that name.
    """
    if "/" in ref or Path(ref).suffix or Path(ref).is_file():
        return Path(ref).expanduser()
    remedy = "Take a name of `advgen list weights`, train vectors with `advgen embed train`, or give a file's path."
    return checkpoints.find(ref, remedy=remedy)


def load(path: Path, *, most_frequent: int | None = None, mapped: bool = False) -> Vectors:
    """Vectors of any of the formats, told apart by what is in the file; with `most_frequent`, only the first so many.

    `mapped` leaves the numbers of our own format in their file: opening reads the words alone, and neither the file's
    hash nor its numbers are checked before they are used.

    Raises:
        MissingFile: there is no such file.
        BadFile: it is none of these, is damaged, or holds a NaN; the sentence names the line.
    """
    if not path.is_file():
        raise MissingFile(f"there is no file of vectors {str(path)!r}.")
    with path.open("rb") as file:
        head = file.read(_SNIFFED)
    if not head:
        raise BadFile(f"{path} is empty; a file of vectors was expected.")
    if head[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        raise BadFile(f"{path} is a pickle, which can run code when read; export it as word2vec text and give that.")
    if path.suffix == ".safetensors":
        return _mapped(path, most_frequent) if mapped else _ours(path, most_frequent)
    if mapped:
        raise BadFile(f"{path} cannot stay mapped, only .safetensors can: run `advgen embed convert` on it first.")
    try:
        header = _header(head)
        if header and _is_binary(head, header[1]):
            return _binary(path, header, most_frequent)
        return _text(path, header, most_frequent)
    except BadArgument as error:  # of Vectors: twice the same word, NaN
        raise BadFile(f"{path}: {error}") from None


def export(path: Path, vectors: Vectors, format: Format) -> None:
    """Writes word2vec text or binary, or GloVe text; nine digits, so that reading gives the same numbers."""

    def write(file: IO[bytes]) -> None:
        if format != "glove":
            file.write(f"{len(vectors)} {vectors.dim}\n".encode())
        for word, vector in zip(vectors.words, vectors.matrix, strict=True):
            if format == "word2vec-binary":
                file.write(word.encode() + b" " + vector.astype("<f4").tobytes() + b"\n")
            else:
                file.write((word + " " + " ".join(f"{x:.9g}" for x in vector.tolist()) + "\n").encode())

    if format not in ("word2vec-text", "word2vec-binary", "glove"):
        raise BadArgument(f"the format must be word2vec-text, word2vec-binary or glove, got {format!r}.")
    _refuse_words_with((" ", "\n"), vectors)
    write_atomically(path, write)


def _refuse_words_with(separators: tuple[str, ...], vectors: Vectors) -> None:
    word = next((w for w in vectors.words if any(s in w for s in separators)), None)
    if word is not None:
        raise BadArgument(f"the word {word!r} holds what separates words in this format; rename it before saving.")


def _ours(path: Path, most_frequent: int | None) -> Vectors:
    card = read_card(path)
    found = sha256(path)
    if found != card.file_hash:
        raise BadFile(f"{path} is not the file its card was written for: damaged or replaced; get both again.")
    with _opened(path, card) as file:
        words, counts = _words(file, most_frequent)
        matrix = file.get_slice("matrix")[: len(words)].astype(np.float32)
    return Vectors(words, matrix, counts)


def _mapped(path: Path, most_frequent: int | None) -> Vectors:
    with _opened(path, read_card(path)) as file:
        words, counts = _words(file, most_frequent)
    with path.open("rb") as raw:
        (length,) = struct.unpack("<Q", raw.read(8))
        about = json.loads(raw.read(length))["matrix"]
        mapping = mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ)
    dtype = {"F32": "<f4", "F16": "<f2"}.get(about["dtype"])
    if dtype is None:
        raise BadFile(f"{path} holds numbers of type {about['dtype']}; F32 or F16 were expected.")
    dim = about["shape"][1]
    matrix = np.frombuffer(mapping, dtype, len(words) * dim, 8 + length + about["data_offsets"][0])
    return Vectors(words, matrix.reshape(len(words), dim), counts, mapping)


@contextmanager
def _opened(path: Path, card: Card) -> Iterator[Any]:
    """A file of ours, whose faults become sentences; safetensors itself compares the header with the file's size."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except (SafetensorError, KeyError, UnicodeDecodeError) as error:
        raise BadFile(f"{path} holds no word vectors ({error}); its card says {card.kind!r}.") from None


def _words(file: Any, most_frequent: int | None) -> tuple[tuple[str, ...], Any]:
    """Words and their counts, None where they are not kept."""
    words = tuple(bytes(file.get_tensor("words")).decode().split("\n"))[:most_frequent]
    return words, file.get_slice("counts")[: len(words)] if "counts" in file.keys() else None  # noqa: SIM118


def _header(head: bytes) -> tuple[int, int] | None:
    """Words and dimension, where the first line is a word2vec header."""
    fields = head.split(b"\n", 1)[0].split()
    if len(fields) != 2 or not all(f.isdigit() for f in fields):
        return None
    return int(fields[0]), int(fields[1])


def _is_binary(head: bytes, dim: int) -> bool:
    body = head.split(b"\n", 1)[1] if b"\n" in head else b""
    fields = body.split(b"\n", 1)[0].split()
    try:
        return len([float(f) for f in fields[1:]]) != dim and b"\0" in body
    except ValueError:
        return not _is_text(body)


def _is_text(body: bytes) -> bool:
    """Whether these first bytes are UTF-8 without control characters: numbers in binary are neither."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(body)  # the last letter may be cut
    except UnicodeDecodeError:
        return False
    return all(letter >= " " or letter in "\t\r\n" for letter in text)


def _text(path: Path, header: tuple[int, int] | None, most_frequent: int | None) -> Vectors:
    words: list[str] = []
    rows: list[Any] = []
    dim = header[1] if header else None
    if dim == 0:
        raise BadFile(f"{path}, line 1: the header says vectors of dimension 0.")
    for number, word, numbers in _lines(path, skip=bool(header)):
        if dim is None:
            dim = len(numbers)
        if len(numbers) != dim:
            raise BadFile(
                f"{path}, line {number}: {len(numbers)} numbers after the word {word!r}, expected {dim}"
                f"{' as the header says' if header else ' as in the first line'}; a word must hold no space."
            )
        try:
            rows.append(np.array(numbers, dtype=np.float32))
        except ValueError as error:
            raise BadFile(f"{path}, line {number}: {error} after the word {word!r}; numbers were expected.") from None
        words.append(word)
        if len(words) == most_frequent:
            break
    if not rows or not dim:
        raise BadFile(f"{path} holds no vector; a word and its numbers a line were expected.")
    if header and most_frequent is None and len(words) != header[0]:
        raise BadFile(f"{path}: the header says {header[0]:,} words, the file holds {len(words):,}; it is cut off.")
    return Vectors(tuple(words), np.stack(rows))


def _lines(path: Path, *, skip: bool) -> Iterator[tuple[int, str, list[str]]]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if skip and number == 1:
                continue
            try:
                # Split at the plain space alone: some words are other spaces of Unicode.
                fields = raw.decode("utf-8").rstrip(" \r\n").replace("\t", " ").split(" ")
            except UnicodeDecodeError:
                raise BadFile(
                    f"{path}, line {number}: neither UTF-8 text nor word2vec binary with its header."
                ) from None
            if fields != [""]:
                yield number, fields[0], fields[1:]


def _binary(path: Path, header: tuple[int, int], most_frequent: int | None) -> Vectors:
    count, dim = min(header[0], most_frequent or header[0]), header[1]
    size = path.stat().st_size
    if dim == 0 or count == 0 or header[0] * dim * 4 > size:
        raise BadFile(f"{path}: its header says {header[0]:,} words of {dim:,} numbers; it has {size:,} bytes.")
    matrix = np.empty((count, dim), dtype=np.float32)
    words = []
    with path.open("rb") as file:
        reader = io.BufferedReader(file.raw, buffer_size=1 << 20)  # type: ignore[arg-type]
        reader.readline()
        for i in range(count):
            word = bytearray()
            while (byte := reader.read(1)) not in (b" ", b""):
                word += byte
            data = reader.read(4 * dim)
            if len(data) != 4 * dim:
                raise BadFile(f"{path}: the header says {header[0]:,} words, the file ends within word {i + 1:,}.")
            try:
                words.append(word.lstrip(b"\n").decode("utf-8"))
            except UnicodeDecodeError:
                raise BadFile(f"{path}: word {i + 1:,} is not UTF-8; the header may be wrong.") from None
            matrix[i] = np.frombuffer(data, dtype="<f4")
    return Vectors(tuple(words), matrix)
