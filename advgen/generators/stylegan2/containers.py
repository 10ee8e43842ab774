"""The containers that weights come in: a plain pickle, torch's zip file, and torch's older row of pickles.

Formats: torch.serialization of PyTorch 1.0 to 2.x. Every size that a file claims is held against the bytes it has.
"""

import io
import struct
import zipfile
from collections.abc import Callable
from typing import Any

from advgen.core.errors import BadFile
from advgen.generators.stylegan2.pickles import Machine
from advgen.generators.stylegan2.storages import DTYPES, Storage

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_MAX_MEMBERS = 50_000
_DAMAGE = (ValueError, IndexError, KeyError, TypeError, AttributeError, EOFError, OverflowError, struct.error)


def read_container(data: bytes) -> Any:
    """The object in a file's bytes: dicts, lists, `TensorRef`s and `Stored` objects.

    Raises:
        BadFile: not one of the three, damaged, or asking for more than data; the sentence goes on from the file's name.
    """
    machine = Machine(len(data), _nested)
    try:
        if data.startswith(b"PK\x03\x04"):
            return _zipped(data, machine)
        return _pickled(data, machine)
    except _DAMAGE:
        raise BadFile("is damaged, cut off, or no weight file at all") from None
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise BadFile(f"is a damaged zip file ({str(error)[:80]})") from None


def _nested(data: bytes, machine: Machine) -> Storage:
    found = _zipped(data, machine) if data.startswith(b"PK\x03\x04") else _pickled(data, machine)
    if type(found) is not Storage:
        raise BadFile("holds something else than numbers in the bytes of a storage")
    return found


def _pickled(data: bytes, machine: Machine) -> Any:
    stream = io.BytesIO(data)
    first = machine.read(stream, _no_storage)
    if type(first) is not int or first != _LEGACY_MAGIC:
        return first
    if machine.read(stream, _no_storage) != _LEGACY_PROTOCOL:
        raise BadFile("is a torch file of an unknown version")
    system = machine.read(stream, _no_storage)
    if type(system) is not dict or system.get("little_endian") is not True:
        raise BadFile("was written on a big-endian machine")
    storages: dict[str, Storage] = {}
    found = machine.read(stream, _collector(storages, lambda key: None))
    keys = machine.read(stream, _no_storage)
    _fill(data, stream.tell(), keys, storages)
    return found


def _fill(data: bytes, at: int, keys: Any, storages: dict[str, Storage]) -> None:
    """Gives each storage its bytes, which stand behind the pickles in the order of `keys`."""
    if type(keys) is not list or any(type(key) not in (str, int) for key in keys):
        raise BadFile("lists its storages by something else than names")
    if sorted(map(str, keys)) != sorted(storages):
        raise BadFile("lists other storages than its tensors use")
    whole = memoryview(data)
    for key in keys:
        storage = storages[str(key)]
        (count,) = struct.unpack_from("<q", data, at)
        size = storage.count * storage.dtype.itemsize
        if count != storage.count or at + 8 + size > len(data):
            raise BadFile(f"claims a storage of {storage.count} numbers, which it does not hold; it may be cut off")
        storage.data = whole[at + 8 : at + 8 + size]
        at += 8 + size


def _zipped(data: bytes, machine: Machine) -> Any:
    if data.count(b"PK\x01\x02") > _MAX_MEMBERS:
        raise BadFile(f"is a zip file of more than {_MAX_MEMBERS} members")
    archive = zipfile.ZipFile(io.BytesIO(data))
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size or info.flag_bits & 1:
            raise BadFile("is a zip file with packed or locked members; torch stores them as they are")
        if info.filename in members:
            raise BadFile("is a zip file with two members of one name")
        members[info.filename] = info
    if sum(info.file_size for info in members.values()) > len(data):
        raise BadFile("is a zip file whose members overlap")
    pickles = [name for name in members if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise BadFile(f"is a zip file with {len(pickles)} data.pkl inside; a torch file has one")
    folder = pickles[0].removesuffix("data.pkl")
    order = members.get(f"{folder}byteorder")
    if order is not None and archive.read(order) != b"little":
        raise BadFile("was written on a big-endian machine")

    def content(key: str) -> Callable[[], bytes]:
        info = members.get(f"{folder}data/{key}")
        if info is None:
            raise BadFile("refers to a storage that it does not hold")

        def read() -> bytes:
            try:
                return archive.read(info)
            except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError):
                raise BadFile("is damaged: the numbers of a tensor are not those that were written") from None

        return read

    def fits(storage: Storage, key: str) -> None:
        if storage.count * storage.dtype.itemsize != members[f"{folder}data/{key}"].file_size:
            raise BadFile(f"claims a storage of {storage.count} numbers, which it does not hold")

    storages: dict[str, Storage] = {}
    found = machine.read(io.BytesIO(archive.read(pickles[0])), _collector(storages, content))
    for key, storage in storages.items():
        fits(storage, key)
    return found


def _collector(
    storages: dict[str, Storage], content: Callable[[str], Callable[[], bytes] | None]
) -> Callable[[tuple[Any, ...]], Storage]:
    """What answers a pickle's references to storages, the same storage for the same key."""

    def storage(given: tuple[Any, ...]) -> Storage:
        _, kind, key, _, count = given[:5]
        if type(key) not in (str, int) or type(count) is not int or not 0 <= count < 2**48:
            raise BadFile("refers to a storage without a key or a size")
        key = str(key)
        if key not in storages:
            storages[key] = Storage(DTYPES[kind.name], count, content(key))
        known = storages[key]
        if (known.dtype, known.count) != (DTYPES[kind.name], count):
            raise BadFile("gives one storage two types or sizes")
        return known

    return storage


def _no_storage(given: tuple[Any, ...]) -> Storage:
    raise BadFile("refers to a storage where there is none")
