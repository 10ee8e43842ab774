"""Checkpoints: safetensors with a card beside them, where weight files are found, and the state of a training.

Nothing here is ever unpickled, save the torchvision and LPIPS files of `TORCH_FILES`, which are known by their hash and
read by torch's restricted reader. Importing this module imports no torch, so that listing weights stays light.
"""

import importlib.util
import json
import os
import struct
import sys
from collections import Counter, OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import advgen
from advgen.core.errors import BadArgument, BadFile, MissingFile
from advgen.core.files import sha256, write_atomically
from advgen.core.specs import Card

if TYPE_CHECKING:
    from torch import Tensor

# The only files in torch's own format that are read, each with the beginnings of its SHA-256. torchvision writes it
# into the name; the rebuilt SqueezeNet holds the same values and is known under either name.
TORCH_FILES: Mapping[str, tuple[str, ...]] = {
    "squeezenet1_1-rebuilt.pth": ("15fcf8750bea328b",),
    "squeezenet1_1-b8a52dc0.pth": ("b8a52dc0", "15fcf8750bea328b"),
    "squeezenet1_1-f364aa15.pth": ("f364aa15",),
    "alexnet-owt-7be5be79.pth": ("7be5be79",),
    "alexnet-owt-4df8aa71.pth": ("4df8aa71",),
    "vgg16-397923af.pth": ("397923af",),
    # Inception-v3 for FID, as torch-fidelity and pytorch-fid publish it: one content under two names.
    "weights-inception-2015-12-05-6726825d.pth": ("6726825d",),
    "pt_inception-2015-12-05-6726825d.pth": ("6726825d",),
    # The linear layers that come with the lpips package, version 0.1.
    "squeeze.pth": ("4a5350f23600cb79",),
    "alex.pth": ("df73285e35b22355",),
    "vgg.pth": ("a78928a0af1e5f0f",),
}
_PICKLES = (".pth", ".pt", ".ckpt", ".pkl", ".pickle", ".bin", ".th", ".pyt")


class Checkpoint(NamedTuple):
    """What a checkpoint holds."""

    tensors: "dict[str, Tensor]"  # on the CPU
    card: Card


def data_home() -> Path:
    """The folder of data and weights that are not shipped: $ADVGEN_DATA, else the platform's cache folder."""
    given = os.environ.get("ADVGEN_DATA")
    if given:
        return Path(given).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "advgen"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "advgen"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "advgen"


def places() -> tuple[Path, ...]:
    """Where weight files are looked for, in order: shipped with the zoo, the data folder, torch's hub cache."""
    # By path: asking importlib.resources for the zoo would import it, and the zoo imports this module.
    assert advgen.__file__ is not None
    return Path(advgen.__file__).parent / "zoo" / "weights", data_home() / "weights", _hub() / "checkpoints"


def find(*names: str, remedy: str = "") -> Path:
    """The first of `names` that is found in `places`; a name without a suffix is a `.safetensors` file.

    Raises:
        MissingFile: in none of the places; names them and the file, and gives `remedy`.
    """
    assert names, "no name to look for"
    files = [name if Path(name).suffix else f"{name}.safetensors" for name in names]
    for name in files:
        if Path(name).name != name:
            raise BadArgument(f"{name!r} is a path; the plain name of a weight file was expected.")
    for place in places():
        for name in files:
            if (place / name).is_file():
                return place / name
    looked = ", ".join(str(place) for place in places())
    wanted = ", or ".join(files)
    remedy = remedy or f"Get it and put it into {data_home() / 'weights'}."
    raise MissingFile(f"the weights {wanted} were not found; looked in {looked}. {remedy}")


def card_path(path: Path) -> Path:
    """The card that belongs to a checkpoint: `NAME.json` beside `NAME.safetensors`."""
    return path.with_suffix(".json")


def read_card(path: Path) -> Card:
    """The card beside a checkpoint, without its tensors.

    Raises:
        MissingFile: there is none.
        BadFile: it is not one.
    """
    beside = card_path(path)
    try:
        fields = json.loads(beside.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingFile(f"{path} has no card; {beside.name} was expected beside it.") from None
    except (OSError, ValueError) as error:
        raise BadFile(f"the card {beside} cannot be read: {error}.") from None
    if not isinstance(fields, dict):
        raise BadFile(f"the card {beside} holds a {type(fields).__name__}; a JSON object was expected.")
    needed = set(Card._fields) - set(Card._field_defaults)
    if needed - set(fields) or set(fields) - set(Card._fields):
        lacks, extra = sorted(needed - set(fields)), sorted(set(fields) - set(Card._fields))
        told = ((lacks, "lacks"), (extra, "has the unknown"))
        what = " and ".join(f"{verb} {', '.join(names)}" for names, verb in told if names)
        raise BadFile(f"the card {beside} {what}; write it with checkpoints.save.")
    return Card(**fields)


def save(path: str | Path, tensors: "Mapping[str, Tensor]", card: Card) -> Card:
    """Writes `NAME.safetensors` and its card, each whole or not at all; returns the card with the file's hash in it.

    Raises:
        BadArgument: another suffix than .safetensors.
        UserError: the folder cannot be written or the disk is full.
    """
    from safetensors.torch import save as serialised

    path = Path(path)
    if path.suffix != ".safetensors":
        raise BadArgument(f"a checkpoint's name must end in .safetensors, got {path.name}.")
    write_atomically(path, serialised(_apart(tensors)))
    card = card._replace(file_hash=sha256(path))
    # Written last: until then the old card's hash, or none, shows that the pair is not finished.
    write_atomically(card_path(path), (json.dumps(card._asdict(), indent=2, ensure_ascii=False) + "\n").encode())
    return card


def load(path: str | Path) -> Checkpoint:
    """A checkpoint and its card; the file must be the one the card was written for.

    Raises:
        MissingFile: no file or no card.
        BadFile: a pickle, a damaged file, or another file than the card's.
    """
    path = Path(path)
    _refuse_pickle(path)
    card = read_card(path)
    found = sha256(path)
    if found != card.file_hash:
        raise BadFile(
            f"{path} is not the file its card was written for (SHA-256 {found[:16]}…, the card says "
            f"{card.file_hash[:16]}…): it is damaged or was replaced; get both files again."
        )
    return Checkpoint(load_tensors(path), card)


def load_tensors(path: str | Path) -> "dict[str, Tensor]":
    """The tensors of a safetensors file that needs no card, on the CPU.

    Raises:
        MissingFile: there is no such file.
        BadFile: a pickle, or a damaged file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(path)
    _refuse_pickle(path)
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise BadFile(f"{path} is damaged or no safetensors file ({error}); get it again.") from None


def torch_weights(path: str | Path) -> "dict[str, Tensor]":
    """The tensors of one of `TORCH_FILES`, by torch's restricted reader, after its hash was found right.

    Raises:
        MissingFile: there is no such file.
        BadFile: not one of these files, or not with the published content.
    """
    import torch

    path = Path(path)
    if path.name not in TORCH_FILES:
        raise BadFile(f"{path} is in torch's own format, of which only {', '.join(TORCH_FILES)} are read.")
    _refuse_missing(path)
    found = sha256(path)
    if not found.startswith(TORCH_FILES[path.name]):
        raise BadFile(
            f"{path} is not the published file (SHA-256 {found[:16]}…, expected {TORCH_FILES[path.name][0]}…): "
            "it is cut off or another one; get it again."
        )
    loaded = torch.load(path, map_location="cpu", weights_only=True)
    return dict(loaded)


def lpips_linear_layers(net: str) -> Path:
    """The file of LPIPS' linear layers, version 0.1, inside the installed lpips package, without importing it.

    Raises:
        MissingFile: the package is not installed.
    """
    spec = importlib.util.find_spec("lpips")
    if spec is None or spec.origin is None:
        raise MissingFile("the lpips package, whose linear layers LPIPS needs, is not installed: pip install lpips.")
    return Path(spec.origin).parent / "weights" / "v0.1" / f"{net}.pth"


def save_state(path: str | Path, state: Mapping[str, Any]) -> None:
    """Writes a training's state, whole or not at all, for `load_state` to give back exactly.

    `state` nests dicts, lists and tuples around tensors, NumPy arrays and numbers, Python numbers, text and None: the
    `state_dict()` of networks, optimisers and schedulers, `Generator.get_state()`, `random_states()`.

    Raises:
        UserError: the folder cannot be written or the disk is full.
    """
    from safetensors.torch import save as serialised

    tensors: dict[str, Tensor] = {}
    tree = json.dumps(_encode(state, "", tensors))
    write_atomically(Path(path), serialised(_apart(tensors), metadata={"advgen_state": tree}))


def load_state(path: str | Path) -> dict[str, Any]:
    """What `save_state` wrote, tensors on the CPU.

    Raises:
        MissingFile: there is no such file.
        BadFile: damaged, a pickle, or not a training's state.
    """
    path = Path(path)
    tensors = load_tensors(path)
    tree = _metadata(path).get("advgen_state")
    if tree is None:
        raise BadFile(f"{path} holds tensors but no training state; a file written by save_state was expected.")
    state: dict[str, Any] = _decode(json.loads(tree), tensors)
    return state


def random_states() -> dict[str, Any]:
    """The states of the global random streams (Python, NumPy, torch on the CPU and every CUDA device)."""
    import random

    import numpy as np
    import torch

    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"python": random.getstate(), "numpy": np.random.get_state(), "torch": torch.get_rng_state(), "cuda": cuda}


def restore_random_states(states: Mapping[str, Any]) -> None:
    """Puts the global random streams back to what `random_states` found."""
    import random

    import numpy as np
    import torch

    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    torch.set_rng_state(states["torch"])
    if states["cuda"]:
        torch.cuda.set_rng_state_all(states["cuda"])


def _hub() -> Path:
    torch = sys.modules.get("torch")
    if torch is not None:
        return Path(torch.hub.get_dir())
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("TORCH_HOME") or Path(cache) / "torch").expanduser() / "hub"


def _refuse_missing(path: Path) -> None:
    if not path.exists():
        raise MissingFile(f"there is no file {path}.")
    if path.is_dir():
        raise BadFile(f"{path} is a folder; a weight file was expected.")


def _refuse_pickle(path: Path) -> None:
    """Pickles by their first bytes under any name, and by name whatever they hold."""
    _refuse_missing(path)
    with path.open("rb") as file:
        first = file.read(9)
    # A safetensors file begins with its header's length, which may look like either magic; its ninth byte is "{".
    magics = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04")
    pickled = first.startswith(magics) and first[8:] != b"{"
    if pickled or path.suffix.lower() in _PICKLES:
        raise BadFile(
            f"{path} is a pickle, which can run code when it is opened; expected safetensors: if you trust its source, "
            f"convert it once with safetensors.torch.save_file(torch.load(file, weights_only=True), new_file)."
        )


def _apart(tensors: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    """Contiguous CPU copies: safetensors refuses tensors that share memory."""
    import torch

    return {
        name: tensor.detach().to("cpu").clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }


def _metadata(path: Path) -> dict[str, str]:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        metadata: dict[str, str] = json.loads(file.read(length)).get("__metadata__", {})
    return metadata


# A dict with this key is not a dict of the state but says what stands in its place.
_KIND = "~kind"
_DICTS = {"dict": dict, "OrderedDict": OrderedDict, "Counter": Counter}


def _encode(value: Any, where: str, tensors: "dict[str, Tensor]") -> Any:
    """JSON of `value`, its tensors and arrays put into `tensors` under the path that leads to them."""
    import numpy as np
    import torch

    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        # JSON has no infinities; a scheduler that has not yet seen a best value holds one.
        return value if np.isfinite(value) else {_KIND: "float", "value": str(value)}
    if isinstance(value, torch.Tensor):
        tensors[where] = value
        return {_KIND: "tensor", "key": where}
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        tensors[where] = torch.frombuffer(bytearray(array.tobytes()) or bytearray(1), dtype=torch.uint8)
        kind = "array" if isinstance(value, np.ndarray) else "scalar"
        return {_KIND: kind, "key": where, "dtype": array.dtype.str, "shape": list(array.shape)}
    if isinstance(value, list):
        return [_encode(item, f"{where}/{place}", tensors) for place, item in enumerate(value)]
    if isinstance(value, tuple):
        items = [_encode(item, f"{where}/{place}", tensors) for place, item in enumerate(value)]
        return {_KIND: "tuple", "items": items}
    if isinstance(value, Mapping):
        kind = type(value).__name__ if type(value).__name__ in _DICTS else "dict"
        pairs = [(_encode(key, "", {}), _encode(item, f"{where}/{key!r}", tensors)) for key, item in value.items()]
        if kind == "dict" and all(type(key) is str for key in value) and _KIND not in value:
            return dict(pairs)
        return {_KIND: kind, "items": pairs}
    raise TypeError(f"a training state cannot hold the {type(value).__name__} at {where or 'its root'}")


def _decode(value: Any, tensors: "dict[str, Tensor]") -> Any:
    import numpy as np

    if isinstance(value, list):
        return [_decode(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get(_KIND)
    if kind is None:
        return {key: _decode(item, tensors) for key, item in value.items()}
    if kind == "float":
        return float(value["value"])
    if kind == "tensor":
        return tensors[value["key"]]
    if kind in ("array", "scalar"):
        dtype = np.dtype(value["dtype"])
        count = int(np.prod(value["shape"], dtype=np.int64))
        data = tensors[value["key"]].numpy().tobytes()[: count * dtype.itemsize]
        array = np.frombuffer(data, dtype).reshape(value["shape"]).copy()
        return array if kind == "array" else array[()]
    items = [_decode(item, tensors) for item in value["items"]]
    return tuple(items) if kind == "tuple" else _DICTS[kind](dict(items))
