"""Networks by reference: shipped, published, from a checkpoint, from torchvision, or a user's own function.

A reference is the name of shipped weights (`advgen/zoo/weights/NAME.safetensors`), a name of `PUBLISHED`, the path of a
`.safetensors` file with its card, `torchvision:NAME` (or `torchvision:NAME:PATH`, weights that you have), or
`module:function` or `path/to/file.py:function`, which returns a torch module. Nothing is downloaded.
"""

import hashlib
import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from advgen.core import checkpoints, registry
from advgen.core.errors import AdvgenError, BadArgument, BadFile, MissingFile, UnknownName
from advgen.core.files import sha256
from advgen.core.specs import Card, Scalar
from advgen.core.targets import ModuleTarget
from advgen.zoo.networks import Normalised, build
from advgen.zoo.published import PUBLISHED, Published


class Network(NamedTuple):
    """What rebuilds a network and says what its logits mean; stands in a card's args (`to_args`)."""

    architecture: str
    kwargs: Mapping[str, Scalar]
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    decision: Literal["argmax", "sign"] = "argmax"
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def to_args(self) -> dict[str, Scalar]:
        """One key a field (`network.kwargs` and the like), lists and maps as JSON text."""
        return {f"network.{name}": _text(value) for name, value in self._asdict().items()}

    @classmethod
    def from_args(cls, args: Mapping[str, Scalar], where: str) -> "Network":
        """The description in a card's args; `where` is what errors call the card.

        Raises:
            BadFile: there is none, or it does not parse.
        """
        try:
            given = {name: args[f"network.{name}"] for name in cls._fields}
            listed = {
                name: json.loads(str(given[name])) for name in ("kwargs", "classes", "image_shape", "mean", "std")
            }
            channels, height, width = listed["image_shape"]
            return cls(
                str(given["architecture"]),
                dict(listed["kwargs"]),
                tuple(listed["classes"]),
                (channels, height, width),
                "sign" if given["decision"] == "sign" else "argmax",
                None if listed["mean"] is None else tuple(listed["mean"]),
                None if listed["std"] is None else tuple(listed["std"]),
            )
        except KeyError as error:
            raise BadFile(f"{where} does not describe its network: its args lack {error.args[0]!r}.") from None
        except (ValueError, TypeError) as error:
            raise BadFile(f"{where} describes its network wrongly: {error}.") from None


class Loaded(NamedTuple):
    """A network in eval mode with all that a target is made of; normalisation is not yet inside."""

    network: nn.Module
    card: Card
    classes: tuple[str, ...]  # empty: not known until its logits are seen
    image_shape: tuple[int, int, int] | None  # None: the network takes any
    decision: Literal["argmax", "sign"]
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    came_from: str  # one phrase for the reader: which file or function was taken


def zoo_load(ref: str) -> tuple[nn.Module, Card]:
    """A network in eval mode that takes pixels in [0, 1] (its normalisation inside), and its card."""
    loaded = load(ref)
    if loaded.mean is None or loaded.std is None:
        return loaded.network, loaded.card
    return Normalised(loaded.network, loaded.mean, loaded.std).eval(), loaded.card


def as_target(
    ref: str, *, classes: tuple[str, ...] = (), image_shape: tuple[int, int, int] | None = None
) -> ModuleTarget:
    """A reference as a target; `classes` and `image_shape` (the data's) are for networks that do not tell their own.

    Raises:
        BadArgument: neither the network nor the caller says what it takes.
    """
    loaded = load(ref)
    shape = loaded.image_shape or image_shape
    if shape is None:
        raise BadArgument(
            f"{ref} does not say which images it takes; give its module an attribute image_shape (C, H, W)."
        )
    return ModuleTarget(
        loaded.network,
        loaded.classes or classes,
        shape,
        decision=loaded.decision,
        mean=loaded.mean,
        std=loaded.std,
    )


def load(ref: str) -> Loaded:
    """The network of a reference (see the module's docstring).

    Raises:
        UnknownName: nothing answers to it.
        MissingFile: its weights must be brought first.
        BadFile: its weights are not what they should be.
    """
    if ref.startswith("torchvision:"):
        return _torchvision(ref)
    if ":" not in ref and ("/" in ref or Path(ref).suffix):
        path = Path(ref).expanduser()
        if path.stem in PUBLISHED and not checkpoints.card_path(path).exists():
            return _published(path.stem, path)
        return _carded(path)
    if ":" in ref:
        return _function(ref)
    if ref in shipped():
        return _carded(checkpoints.places()[0] / f"{ref}.safetensors")
    if ref in PUBLISHED:
        return _published(ref, checkpoints.find(ref, remedy=_remedy(ref)))
    try:
        found = checkpoints.find(ref)
    except MissingFile:
        known = [*shipped(), *PUBLISHED]
        raise UnknownName.among("network", ref, known, "See `advgen list targets`.") from None
    return _carded(found)


def shipped() -> tuple[str, ...]:
    """Names of the weights that come with the package."""
    found = checkpoints.places()[0].glob("*.safetensors")
    return tuple(sorted(path.stem for path in found if checkpoints.card_path(path).is_file()))


def _carded(path: Path) -> Loaded:
    tensors, card = checkpoints.load(path)
    if card.kind == "generator":
        return _generator(path, card)
    where = f"the card of {path}"
    described = Network.from_args(card.args, where)
    network = build(described.architecture, **described.kwargs)
    _fill(network, tensors, str(path))
    return Loaded(
        network.eval(), card, described.classes, described.image_shape, described.decision,
        described.mean, described.std, str(path),
    )  # fmt: skip


def _generator(path: Path, card: Card) -> Loaded:
    from advgen.generators.stylegan2.load import load_stylegan2

    # What a generator takes are latents: no classes, and the shape is that of the images it makes.
    network = load_stylegan2(path).generator
    height, width = network.resolution
    return Loaded(network, card, (), (network.config.channels, height, width), "argmax", None, None, str(path))


def _published(name: str, path: Path) -> Loaded:
    published = PUBLISHED[name]
    found = sha256(path)
    if not found.startswith(published.sha256):
        raise BadFile(
            f"{path} is not the published {name} (SHA-256 {found[:16]}…, expected {published.sha256}…): it is damaged "
            "or another file; get it again."
        )
    network = build(published.architecture, **published.kwargs)
    _fill(network, checkpoints.load_tensors(path), str(path))
    return Loaded(
        network.eval(), _card(name, published, found), published.classes, published.image_shape, "argmax",
        published.mean, published.std, str(path),
    )  # fmt: skip


def _card(name: str, published: Published, file_hash: str) -> Card:
    described = Network(
        published.architecture, published.kwargs, published.classes, published.image_shape, "argmax",
        published.mean, published.std,
    )  # fmt: skip
    return Card(
        name=name,
        kind="classifier",
        recipe="published",
        args={**described.to_args(), "training": published.training, "trained_eps": published.trained_eps},
        seed=0,
        data_hash="",
        file_hash=file_hash,
        metrics={},
        cost={},
        licence=published.licence,
    )


def _torchvision(ref: str) -> Loaded:
    import torchvision

    _, name, *rest = ref.split(":", 2)
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise UnknownName.among("torchvision classifier", name, known)
    published = {weights.url.rsplit("/", 1)[-1]: weights for weights in torchvision.models.get_model_weights(name)}
    default = torchvision.models.get_model_weights(name).DEFAULT
    if rest and rest[0]:
        path = Path(rest[0]).expanduser()
    else:
        rebuilt = [file for file in checkpoints.TORCH_FILES if file.startswith(f"{name}-") and file not in published]
        remedy = f"Get {default.url} and put it into {checkpoints.data_home() / 'weights'}."
        path = checkpoints.find(*published, *rebuilt, remedy=remedy)
    weights = published.get(path.name, default)
    # Their builders turn these on only when they fetch the weights themselves.
    own_input = {"transform_input": True, "init_weights": False} if name in ("googlenet", "inception_v3") else {}
    network = torchvision.models.get_model(name, weights=None, **own_input)
    _fill(network, _torchvision_tensors(path, published), str(path))
    preset = weights.transforms()
    (side,) = preset.crop_size
    card = Card(
        name=f"torchvision:{name}", kind="classifier", recipe="published", args={"weights": path.name}, seed=0,
        data_hash="", file_hash=sha256(path), metrics={}, cost={}, licence="BSD-3-Clause",
    )  # fmt: skip
    return Loaded(
        network.eval(), card, tuple(weights.meta["categories"]), (3, side, side), "argmax",
        tuple(preset.mean), tuple(preset.std), str(path),
    )  # fmt: skip


def _torchvision_tensors(path: Path, published: Mapping[str, Any]) -> dict[str, Tensor]:
    import torch

    if path.suffix == ".safetensors":
        return checkpoints.load_tensors(path)
    if path.name in checkpoints.TORCH_FILES:
        return checkpoints.torch_weights(path)
    if path.name not in published:
        raise BadFile(
            f"{path} is neither safetensors nor a file published for it ({', '.join(published)}); if you trust "
            "its source, convert it once: safetensors.torch.save_file(torch.load(file, weights_only=True), new_file)."
        )
    if not path.is_file():
        raise MissingFile(f"there is no file {path}.")
    # torchvision writes the beginning of the hash into the name of a file.
    expected = path.stem.rsplit("-", 1)[-1]
    found = sha256(path)
    if not found.startswith(expected):
        raise BadFile(f"{path} is not the published file (SHA-256 {found[:8]}…, expected {expected}…); get it again.")
    return dict(torch.load(path, map_location="cpu", weights_only=True))


def _function(ref: str) -> Loaded:
    where, _, name = ref.rpartition(":")
    if not name.isidentifier():
        raise UnknownName(f"{ref!r} is not `module:function` or `path/to/file.py:function`.")
    module = _calling(ref, lambda: registry.load_file(Path(where)) if where.endswith(".py") else _imported(where, ref))
    make = getattr(module, name, None)
    if make is None:
        public = [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
        raise UnknownName.among(f"function of {where}", name, public)
    network = make if isinstance(make, nn.Module) or not callable(make) else _calling(ref, make)
    if not isinstance(network, nn.Module):
        raise BadArgument(f"{ref} must return a torch.nn.Module, and it returned a {type(network).__name__}.")
    network = network.eval()
    shape = getattr(network, "image_shape", None)
    card = Card(
        name=ref, kind="classifier", recipe="user", args={}, seed=0, data_hash="", file_hash=tensors_hash(network),
        metrics={}, cost={}, licence="the user's own",
    )  # fmt: skip
    return Loaded(
        network,
        card,
        tuple(str(name) for name in getattr(network, "classes", ())),
        None if shape is None else (int(shape[0]), int(shape[1]), int(shape[2])),
        "sign" if getattr(network, "decision", "argmax") == "sign" else "argmax",
        None,
        None,
        f"returned by {ref}",
    )


def tensors_hash(network: nn.Module) -> str:
    """SHA-256 of a network's state (names, shapes, values), for networks that come from no file."""
    whole = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        whole.update(f"{name}\x1f{tensor.dtype}\x1f{tuple(tensor.shape)}\x1e".encode())
        whole.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()


def _calling(ref: str, make: Callable[[], Any]) -> Any:
    """The user's own code, whose failure is told in a sentence; the traceback stays on the error's cause."""
    try:
        return make()
    except AdvgenError:
        raise
    except Exception as error:
        said = (str(error).splitlines() or [""])[0]
        raise BadArgument(f"{ref} failed with {type(error).__name__}: {said or 'no message'}.") from error


def _imported(module: str, ref: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UnknownName(
            f"{ref!r}: there is no module {error.name!r} on the import path, and the current folder is not on it; "
            "write `path/to/file.py:function` for a file."
        ) from None


def _fill(network: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Loads all tensors into the network, refusing what does not fit key by key and shape by shape."""
    expected = network.state_dict()
    # A count that only training reads; published files leave it out, and torch then keeps its own.
    lacks = sorted(name for name in set(expected) - set(tensors) if not name.endswith("num_batches_tracked"))
    extra = sorted(set(tensors) - set(expected))
    if lacks or extra:
        what = f"lacks {_some(lacks)}" if lacks else f"has {_some(extra)} that the network does not know"
        raise BadFile(f"{where} does not fit the network {type(network).__name__}: it {what}.")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise BadFile(
                f"{where} does not fit the network {type(network).__name__}: {name} is {tuple(tensor.shape)}, "
                f"expected {tuple(expected[name].shape)}."
            )
    network.load_state_dict(dict(tensors), strict=True)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _text(value: object) -> Scalar:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _remedy(name: str) -> str:
    published = PUBLISHED[name]
    return (
        f"They are published as {published.source} (in torch's format; our files are the same tensors as safetensors): "
        f"put {name}.safetensors into {checkpoints.data_home() / 'weights'}."
    )
