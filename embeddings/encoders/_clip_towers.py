"""A CLIP rebuilt from a reference: open_clip's own models with weights of this machine, configs, and our checkpoints.

A checkpoint of ours is a safetensors file whose card (kind `encoder`) holds open_clip's `model_cfg` and
`preprocess_cfg` as JSON; with a tensor `token_ids` it keeps those rows of the token embedding alone, so that a small
model is a few hundred kilobytes and not ten megabytes.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from advgen.core import checkpoints
from advgen.core.errors import BadArgument, BadFile, MissingFile, UnknownName
from advgen.core.specs import Card, Scalar
from advgen.embeddings.encoders import _clip_files as files
from advgen.embeddings.encoders import _clip_functions as functions
from advgen.embeddings.encoders._clip_pixels import Pixels
from advgen.embeddings.encoders._clip_tokens import Tokens, of_config

MODEL, PREPROCESS, IDS = "clip.model_cfg", "clip.preprocess_cfg", "token_ids"
FOLDER_CONFIG = "open_clip_config.json"


class Towers(NamedTuple):
    """Both towers, in eval mode and frozen, and what stands before each."""

    network: nn.Module
    config: Mapping[str, Any]  # open_clip's model_cfg
    tokens: Tokens
    pixels: Pixels
    ids: Tensor | None  # (R,) the tokens whose rows are kept; None = all
    came_from: str  # one phrase for the reader


def load(model: str, weights: str | None) -> Towers:
    """The towers of a reference: `model` is a checkpoint of ours (by name or path), one of open_clip's names, a config
    (.json), a folder with an `open_clip_config.json`, or `module:function`; `weights` a tag of open_clip's or a file.

    Raises:
        UnknownName: nothing answers to it.
        MissingFile: its weights must be brought first.
        BadFile: its weights are not what they should be.
    """
    if _is_function(model):
        return _of_function(model, weights)
    path = Path(model).expanduser()
    if path.suffix == ".json":
        return _of_config(path, weights)
    if path.is_dir() and (path / FOLDER_CONFIG).is_file():
        return _of_config(path / FOLDER_CONFIG, weights or str(files.in_folder(path)))
    if path.suffix in files.SUFFIXES or "/" in model:
        return _of_checkpoint(path, weights)
    from open_clip.factory import get_model_config, list_models

    if model in list_models():
        return _of_open_clip(model, get_model_config(model), weights)
    try:
        found = checkpoints.find(model)
    except MissingFile:
        raise UnknownName.among("CLIP", model, [*list_models(), *_shipped()], "See `advgen list weights`.") from None
    return _of_checkpoint(found, weights)


def build(config: Mapping[str, Any], where: str) -> nn.Module:
    """The network of open_clip's `model_cfg` with random weights, as `open_clip.create_model` would make it.

    Raises:
        BadFile: open_clip cannot build it.
    """
    from open_clip.coca_model import CoCa
    from open_clip.model import CLIP, CustomTextCLIP

    own: dict[str, Any] = deepcopy(dict(config))
    try:
        text, vision = own["text_cfg"], own["vision_cfg"]
        custom = own.pop("custom_text", False) or "hf_model_name" in text
        if "timm_model_name" in vision:
            vision["timm_model_pretrained"] = False
        if "hf_model_name" in text:
            text["hf_model_pretrained"] = False
        kind = CoCa if custom and "multimodal_cfg" in own else CustomTextCLIP if custom else CLIP
        with offline():
            network: nn.Module = kind(**own)
    except Exception as error:
        said = (str(error).splitlines() or [""])[0]
        raise BadFile(
            f"open_clip cannot build the model of {where}: {type(error).__name__}: {said}; a model_cfg with embed_dim, "
            "vision_cfg and text_cfg was expected."
        ) from error
    return network


def description(config: Mapping[str, Any], pixels: Pixels) -> dict[str, Scalar]:
    """What a card's args hold of a CLIP, for `load` to rebuild it."""
    return {MODEL: json.dumps(config, sort_keys=True), PREPROCESS: json.dumps(pixels._asdict(), sort_keys=True)}


def only_rows(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], ids: Tensor
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A whole model cut down to the rows `ids` of its token embedding: its config and tensors, `token_ids` among them.

    Raises:
        BadArgument: its text tower has no embedding of open_clip's vocabulary.
    """
    name = next((n for n in ("token_embedding.weight", "text.token_embedding.weight") if n in tensors), None)
    if name is None or config["text_cfg"].get("hf_tokenizer_name") or len(tensors[name]) <= int(ids[-1]):
        raise BadArgument("rows of the token embedding can be left out only of a model with open_clip's own tokeniser.")
    cut = deepcopy(dict(config))
    cut["text_cfg"]["vocab_size"] = len(ids)
    if cut["text_cfg"].get("pool_type") == "eos":
        cut["text_cfg"]["eos_id"] = len(ids) - 1
    return cut, {**tensors, name: tensors[name][ids], IDS: ids}


def save(path: Path, towers: Towers, card: Card, *, half: bool = True) -> Card:
    """Writes towers as a checkpoint of ours, by default in half precision; the card gets what `load` needs."""
    tensors = dict(towers.network.state_dict())
    if half:
        tensors = {name: t.half() if t.is_floating_point() else t for name, t in tensors.items()}
    if towers.ids is not None:
        tensors[IDS] = towers.ids
    args = {**card.args, **description(towers.config, towers.pixels)}
    return checkpoints.save(path, tensors, card._replace(kind="encoder", args=args))


@contextmanager
def offline() -> Iterator[None]:
    """The hub's client refuses to connect, at once, instead of trying for 47 seconds."""
    constants = sys.modules.get("huggingface_hub.constants")
    before = os.environ.get("HF_HUB_OFFLINE"), getattr(constants, "HF_HUB_OFFLINE", None)
    os.environ["HF_HUB_OFFLINE"] = "1"
    if constants is not None:
        constants.HF_HUB_OFFLINE = True  # type: ignore[attr-defined]
    try:
        yield
    finally:
        if before[0] is None:
            del os.environ["HF_HUB_OFFLINE"]
        else:
            os.environ["HF_HUB_OFFLINE"] = before[0]
        if constants is not None:
            constants.HF_HUB_OFFLINE = before[1]  # type: ignore[attr-defined]


def _is_function(model: str) -> bool:
    where, colon, name = model.rpartition(":")
    return bool(colon) and len(where) > 1 and name.isidentifier()


def _of_function(ref: str, weights: str | None) -> Towers:
    if weights is not None:
        raise BadArgument(f"{ref} returns a model with its weights; leave out weights={weights!r}.")
    made = functions.made(ref)
    return Towers(made.network, {"embed_dim": made.dim}, made.tokens, made.pixels, None, f"returned by {ref}")


def _of_checkpoint(path: Path, weights: str | None) -> Towers:
    if weights is not None:
        raise BadArgument(f"{path.name} has its weights inside; leave out weights={weights!r}.")
    if path.suffix != ".safetensors" or (path.is_file() and not checkpoints.card_path(path).is_file()):
        raise BadArgument(
            f"{path} has no card that says which network it belongs to; give it as `weights`, with one of open_clip's "
            "names or a config (.json) as `model`."
        )
    tensors, card = checkpoints.load(path)
    where = f"the card of {path}"
    config = _parsed(str(card.args.get(MODEL)), where, f"no CLIP but of kind {card.kind!r}")
    preprocess = _parsed(str(card.args.get(PREPROCESS)), where, "without its preprocessing")
    return _towers(config, preprocess, tensors, str(path), where)


def _of_config(path: Path, weights: str | None) -> Towers:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise MissingFile(f"there is no config {str(path)!r}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"the config {path} cannot be read: {error}.") from None
    given = _parsed(text, f"the config {path}", "no JSON object")
    config = given.get("model_cfg", given)
    if not isinstance(config, dict) or not all(name in config for name in ("embed_dim", "vision_cfg", "text_cfg")):
        raise BadFile(f"{path} is no config of a CLIP; an object with embed_dim, vision_cfg and text_cfg was expected.")
    if weights is None:
        raise BadArgument(f"the config {path.name} needs `weights`, a file with the tensors of that network.")
    file = Path(weights).expanduser()
    return _towers(config, given.get("preprocess_cfg") or {}, files.read(file), str(file), str(path))


def _of_open_clip(model: str, config: dict[str, Any], weights: str | None) -> Towers:
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

    tags = list_pretrained_tags_by_model(model)
    if weights is None:
        raise BadArgument(f"CLIP {model} needs `weights`: a file, or one of {', '.join(tags) or 'no published tags'}.")
    published = get_pretrained_cfg(model, weights)
    if published:
        # open_clip only warns of this, and gives other features than those published.
        if published.get("quick_gelu"):
            config["quick_gelu"] = True
        file = files.find(files.Tag(model, weights, published))
    elif Path(weights).suffix or "/" in weights:
        file = Path(weights).expanduser()
    else:
        raise UnknownName.among(f"weights of CLIP {model}", weights, tags, "Or give the path of a file.")
    return _towers(config, published, files.read(file), str(file), f"open_clip's {model}")


def _towers(
    config: dict[str, Any], preprocess: Mapping[str, Any], tensors: dict[str, Tensor], file: str, where: str
) -> Towers:
    from open_clip.transform import PreprocessCfg, merge_preprocess_dict

    ids = tensors.pop(IDS, None)
    # Before the network: what it lacks is told without building gigabytes.
    tokens = of_config(config["text_cfg"], ids, file)
    with torch.random.fork_rng(devices=[]):
        network = build(config, where)
    _fill(network, tensors, file, where)
    tower: Any = network.visual
    merged = merge_preprocess_dict(asdict(PreprocessCfg()), {**preprocess, "size": tower.image_size})
    network.eval().requires_grad_(False)
    return Towers(network, config, tokens, Pixels.from_config(merged, where), ids, f"{where}, weights {file}")


def _fill(network: nn.Module, tensors: dict[str, Tensor], file: str, where: str) -> None:
    """Loads all tensors, of any precision, refusing what does not fit name by name and shape by shape."""
    from open_clip.convert import convert_state_dict
    from open_clip.model import convert_to_custom_text_state_dict

    tensors = convert_state_dict(network, tensors)
    if "positional_embedding" in tensors and not hasattr(network, "positional_embedding"):
        tensors = convert_to_custom_text_state_dict(tensors)
    expected = network.state_dict()
    for name in ("logit_scale", "logit_bias"):  # a number or a row of one, by version
        if name in tensors and name in expected and tensors[name].numel() == expected[name].numel():
            tensors[name] = tensors[name].reshape(expected[name].shape)
    # Counts that only training reads, and positions that newer versions of transformers make themselves.
    lacks = sorted(n for n in set(expected) - set(tensors) if not n.endswith("num_batches_tracked"))
    extra = sorted(n for n in set(tensors) - set(expected) if not n.endswith("embeddings.position_ids"))
    if lacks or extra:
        what = f"it lacks {_some(lacks)}" if lacks else f"it has {_some(extra)}, which the model does not know"
        raise BadFile(f"{file} does not fit {where}: {what}.")
    for name, wanted in expected.items():
        if name in tensors and tensors[name].shape != wanted.shape:
            shapes = f"{tuple(tensors[name].shape)}, expected {tuple(wanted.shape)}"
            raise BadFile(f"{file} does not fit {where}: {name} is {shapes}.")
        if name in tensors and not bool(tensors[name].isfinite().all()):
            raise BadFile(f"{file}: {name} holds NaN or infinity; get the file again.")
    network.load_state_dict({n: t for n, t in tensors.items() if n in expected}, strict=False)


def _parsed(text: str, where: str, otherwise: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise BadFile(f"{where} is {otherwise}; the description of a CLIP was expected.")
    return value


def _shipped() -> list[str]:
    """Names of the CLIPs that come with the package."""
    found = checkpoints.places()[0].glob("*.safetensors")
    cards = ((p, checkpoints.card_path(p)) for p in found)
    return sorted(p.stem for p, card in cards if card.is_file() and MODEL in checkpoints.read_card(p).args)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
