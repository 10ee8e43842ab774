"""Anybody's StyleGAN2 weights, read without running anything that a file holds.

Known: the official `.pkl` (stylegan2-ada-pytorch and the stylegan3 repository's stylegan2), rosinality's `.pt`
(training and converted), encoder checkpoints with a `decoder.` inside and `latent_avg` (pSp, e4e, StyleCLIP), bare
state dicts in either naming, and the safetensors that `convert` writes in either layout.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from advgen.core import checkpoints
from advgen.core.errors import BadFile, MissingFile
from advgen.generators.stylegan2.build import discriminator_of, generator_of
from advgen.generators.stylegan2.containers import read_container
from advgen.generators.stylegan2.discriminator import StyleGAN2Discriminator
from advgen.generators.stylegan2.generator import StyleGAN2Generator
from advgen.generators.stylegan2.layouts import official_discriminator, official_generator
from advgen.generators.stylegan2.pickles import Stored
from advgen.generators.stylegan2.storages import TensorRef

MAX_BYTES = 4 << 30  # the largest training checkpoints, optimisers included, have half of it
_MAX_MODULES = 5_000
_MAX_DEPTH = 16


class LoadedInfo(NamedTuple):
    """Where the networks come from."""

    format: str  # official pickle | rosinality | encoder checkpoint | safetensors
    notes: tuple[str, ...]  # sentences about what the file did not hold


class Loaded(NamedTuple):
    """The networks of a file, in float32 and eval mode, on the CPU."""

    generator: StyleGAN2Generator  # with averaged weights, where the file holds them
    raw_generator: StyleGAN2Generator | None  # as trained, where the file holds both
    discriminator: StyleGAN2Discriminator | None
    info: LoadedInfo


class _Net(NamedTuple):
    """A network's tensors under official names, and settings that tensors do not show."""

    tensors: Mapping[str, Tensor]
    conv_clamp: float | None = None
    group: int | None = 4
    normalisation: str = "demodulation"


class _File(NamedTuple):
    format: str
    networks: Mapping[str, _Net]  # G_ema, G, D
    notes: tuple[str, ...] = ()


def located(ref: str | Path) -> Path:
    """The file that a path or the name of shipped weights means.

    Raises:
        MissingFile: there is no such file or name.
    """
    path = Path(ref).expanduser()
    if path.suffix or path.exists() or len(path.parts) > 1:
        return path
    return checkpoints.find(str(ref), remedy="Give the file of a StyleGAN2, or the name of shipped weights.")


def load_stylegan2(path: str | Path) -> Loaded:
    """The StyleGAN2 in a file, or in shipped weights by name.

    Raises:
        MissingFile: there is no such file.
        BadFile: no StyleGAN2, damaged, or asking for anything but data; says what it asked for.
    """
    path = located(path)
    if not path.exists():
        raise MissingFile(f"there is no file {path}.")
    if not path.is_file():
        raise BadFile(f"{path} is no ordinary file; a file of StyleGAN2 weights was expected.")
    try:
        return _built(_safetensors(path) if path.suffix == ".safetensors" else _read(path))
    except BadFile as error:
        text = str(error).rstrip(".")
        raise BadFile(f"{text}." if text.startswith(str(path)) else f"{path} {text}.") from None


def _built(file: _File) -> Loaded:
    notes = list(file.notes)
    made: dict[str, StyleGAN2Generator] = {}
    for name in ("G_ema", "G"):
        if name in file.networks:
            net = file.networks[name]
            made[name], said = generator_of(net.tensors, conv_clamp=net.conv_clamp, normalisation=net.normalisation)
            notes += [note for note in said if note not in notes]
    if not made:
        raise BadFile("holds no StyleGAN2 generator")
    if "G_ema" not in made:
        notes.append("the file holds no averaged weights: the generator is the one that was trained")
    judge = None
    if "D" in file.networks:
        net = file.networks["D"]
        judge = discriminator_of(net.tensors, conv_clamp=net.conv_clamp, group=net.group)
    averaged = made.get("G_ema", made.get("G"))
    assert averaged is not None
    raw = made.get("G") if "G_ema" in made else None
    return Loaded(averaged, raw, judge, LoadedInfo(file.format, tuple(notes)))


def _read(path: Path) -> _File:
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise BadFile(f"has {size} bytes; the largest StyleGAN2 checkpoints stay under {MAX_BYTES}")
    data = path.read_bytes()
    _refuse_text(data)
    root = read_container(data)
    if type(root) is not dict:
        raise BadFile(f"holds a {_kind(root)}; a dict of networks was expected")
    budget = _Budget(2 * len(data) + (1 << 20))
    if any(type(root.get(name)) is Stored for name in ("G_ema", "G")):
        return _official(root, budget)
    if type(root.get("state_dict")) is dict:
        return _encoder(root, budget)
    if type(root.get("g_ema")) is dict or type(root.get("g")) is dict:
        return _rosinality(root, budget)
    if "mapping.fc0.weight" in root:
        return _File("official state dict", {"G_ema": _Net(budget.tensors(root))})
    if "style.1.weight" in root:
        return _File("rosinality", {"G_ema": _Net(official_generator(budget.tensors(root)))})
    names = ", ".join(repr(str(key)[:30]) for key in list(root)[:5])
    raise BadFile(f"holds no StyleGAN2: its parts are {names or 'none'}; expected G_ema, g_ema or state_dict")


def _refuse_text(data: bytes) -> None:
    start = data[:200].lstrip().lower()
    if not data:
        raise BadFile("is empty; get the file again")
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise BadFile("is a web page, not weights: the download was answered by a page; get the file itself")
    if data.startswith((b"\x89PNG", b"\xff\xd8\xff", b"\x1f\x8b", b"Rar!", b"7z")):
        raise BadFile("is a picture or a packed archive, not weights; unpack it, or give the file of weights")
    if start.startswith(b"version https://git-lfs"):
        raise BadFile("is a Git LFS pointer, not weights: fetch the file itself with git lfs pull")


class _Budget:
    """Makes tensors, and no more of them than a file of this size can honestly hold."""

    def __init__(self, size: int) -> None:
        self.left = size

    def tensors(self, state: Mapping[Any, Any]) -> dict[str, Tensor]:
        """The tensors of a state dict."""
        made = {}
        for name, value in state.items():
            ref = _ref(value)
            if type(name) is not str or ref is None:
                raise BadFile(f"holds a {_kind(value)} under {str(name)[:60]!r} where a tensor was expected")
            made[name] = self.tensor(ref)
        return made

    def tensor(self, ref: TensorRef) -> Tensor:
        """One tensor."""
        self.left -= 4 * ref.numel
        if self.left < 0:
            raise BadFile("holds more tensors than bytes: the same numbers are claimed many times over")
        return ref.tensor()


def _official(root: Mapping[str, Any], budget: _Budget) -> _File:
    networks = {}
    for name in ("G_ema", "G", "D"):
        if type(root.get(name)) is Stored:
            refs, settings = _modules(root[name])
            clamp = _setting(settings["conv_clamp"], "conv_clamp")
            group = settings["group_size"]
            networks[name] = _Net(budget.tensors(refs), clamp, _group(group) if group else 4)
    return _File("official pickle", networks)


def _modules(root: Stored) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Parameters and buffers of a stored module by their full names, and the settings that it was built with."""
    refs: dict[str, Any] = {}
    settings: dict[str, list[Any]] = {"conv_clamp": [], "group_size": []}
    waiting: list[tuple[str, Any, int]] = [("", root, 0)]
    visited = 0
    while waiting:
        prefix, stored, depth = waiting.pop()
        visited += 1
        if visited > _MAX_MODULES or depth > _MAX_DEPTH:
            raise BadFile("nests modules in modules without end")
        if type(stored) is not Stored or type(stored.state) is not dict:
            raise BadFile(f"holds a {_kind(stored)} where the module {prefix[:60]!r} should be")
        for name, found in settings.items():
            # These two never clamp, whatever their network does.
            if name in stored.state and not (name == "conv_clamp" and prefix.endswith((".skip.", "b4.fromrgb."))):
                found.append(stored.state[name])
        # Layers frozen in training keep their weights as buffers.
        for key, value in (*_entries(stored.state, "_parameters"), *_entries(stored.state, "_buffers")):
            if value is not None:
                refs[f"{prefix}{key}"] = value
        waiting += [
            (f"{prefix}{key}.", value, depth + 1)
            for key, value in _entries(stored.state, "_modules")
            if value is not None
        ]
    return refs, settings


def _entries(state: Mapping[str, Any], part: str) -> Iterator[tuple[str, Any]]:
    entries = state.get(part)
    if type(entries) is not dict or any(type(key) is not str or len(key) > 100 for key in entries):
        raise BadFile(f"holds a module without proper {part.strip('_')}")
    return iter(entries.items())


def _setting(found: list[Any], name: str) -> float | None:
    values = {float(v) if type(v) in (int, float) and 0 < v < 1e30 else v for v in found if not _structured(v)}
    if len(values) > 1 or any(_structured(v) for v in found):
        raise BadFile(f"gives its layers different values of {name}, which is not supported")
    value = values.pop() if values else None
    if value is not None and not (type(value) is float and 0 < value < 1e30):
        raise BadFile(f"has a {name} that is no positive number")
    return value


def _structured(value: Any) -> bool:
    return type(value) not in (int, float, type(None))


def _group(found: list[Any]) -> int | None:
    value = _setting(found, "group_size")
    return None if value is None else int(value)


def _rosinality(root: Mapping[str, Any], budget: _Budget) -> _File:
    networks, notes = {}, []
    for name, theirs in (("G_ema", "g_ema"), ("G", "g")):
        if type(root.get(theirs)) is dict:
            tensors = official_generator(budget.tensors(root[theirs]))
            # The format has one mean; `convert` adds the raw generator's own, which other programs pass over.
            mean = root.get("latent_avg_g" if theirs == "g" and "latent_avg_g" in root else "latent_avg")
            networks[name] = _Net({**tensors, **_mean(mean, budget, notes)})
    if type(root.get("d")) is dict:
        networks["D"] = _Net(official_discriminator(budget.tensors(root["d"])))
    return _File("rosinality", networks, tuple(notes))


def _encoder(root: Mapping[str, Any], budget: _Budget) -> _File:
    inside = root["state_dict"]
    decoder = {k.removeprefix("decoder."): v for k, v in inside.items() if type(k) is str and k.startswith("decoder.")}
    if not decoder:
        raise BadFile("holds a state_dict without a decoder., so no StyleGAN2 generator")
    notes: list[str] = []
    tensors = official_generator(budget.tensors(decoder))
    mean = _mean(root.get("latent_avg", inside.get("latent_avg")), budget, notes)
    return _File("encoder checkpoint", {"G_ema": _Net({**tensors, **mean})}, tuple(notes))


def _mean(value: Any, budget: _Budget, notes: list[str]) -> dict[str, Tensor]:
    """latent_avg is one w, or a row of them for each layer."""
    ref = _ref(value)
    if ref is None:
        return {}
    mean = budget.tensor(ref)
    if not mean.is_floating_point() or mean.ndim not in (1, 2) or not mean.numel():
        raise BadFile(f"holds latent_avg of the unexpected shape {tuple(mean.shape)}")
    if mean.ndim == 2:
        if (mean - mean[:1]).abs().max() > 1e-6:
            notes.append("latent_avg differs between layers: its mean over them is taken as the mean of w")
        mean = mean.mean(0)
    return {"mapping.w_avg": mean}


def _safetensors(path: Path) -> _File:
    tensors = checkpoints.load_tensors(path)
    has_card = checkpoints.card_path(path).exists()
    args = checkpoints.load(path).card.args if has_card else {}
    if "synthesis.b4.const" in tensors:
        # The official layout: a file a network, of which the card knows.
        networks = {"G_ema": tensors}
        for name in ("G", "D"):
            beside = path.with_stem(f"{path.stem}-{name}")
            if name in str(args.get("networks", "")).split():
                networks[name] = checkpoints.load_tensors(beside)
    else:
        networks = {}
        for key, tensor in tensors.items():
            network, _, rest = key.partition(".")
            networks.setdefault(network, {})[rest] = tensor
    unknown = sorted(set(networks) - {"G_ema", "G", "D"})
    if unknown:
        raise BadFile(f"holds {unknown[0]!r}; the networks G_ema, G and D were expected")
    assumed = "the file has no card: no clamping, and groups of 4 in the discriminator, are assumed"
    made = {}
    for name, state in networks.items():
        clamp, group = args.get(f"{name}.conv_clamp"), args.get("D.group", 4)
        if not isinstance(clamp, int | float | None) or not isinstance(group, int | None):
            raise BadFile("has a card whose conv_clamp or group is no number")
        made[name] = _Net(state, clamp, group, str(args.get("normalisation", "demodulation")))
    return _File("safetensors", made, () if has_card else (assumed,))


def _ref(value: Any) -> TensorRef | None:
    if type(value) is Stored and value.name == "numpy.ndarray":
        value = value.state
    return value if type(value) is TensorRef else None


def _kind(value: Any) -> str:
    return repr(value.name[:60]) if type(value) is Stored else type(value).__name__
