"""CLIP's weight files: where they lie on this machine, and their tensors; nothing is downloaded or run."""

import hashlib
import os
import pickle
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from advgen.core import checkpoints
from advgen.core.errors import BadFile, MissingFile

SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")
FOLDER_FILES = tuple(
    f"{stem}{suffix}"
    for stem in ("open_clip_model", "open_clip_pytorch_model", "model", "pytorch_model")
    for suffix in (".safetensors", ".bin", ".pth")
)
WRAPPERS = ("module.", "_orig_mod.", "model.", "clip.")  # what a training program puts before every name
NESTS = ("state_dict", "model_state_dict", "model")
# What OpenAI's archives and old versions of open_clip keep beside the weights; the model makes them itself.
NO_WEIGHTS = ("input_resolution", "context_length", "vocab_size", "attn_mask", "text.attn_mask")


class Tag(NamedTuple):
    """One of open_clip's published weights of a model."""

    model: str
    name: str
    config: Mapping[str, Any]  # url, hf_hub, mean, std, interpolation, resize_mode, quick_gelu

    @property
    def repository(self) -> tuple[str, tuple[str, ...]]:
        """On the hub: its name, and the files that it may hold, safetensors first."""
        name, _, file = str(self.config.get("hf_hub") or "").rpartition("/")
        if not file:
            return name, ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
        return name, (*((str(Path(file).with_suffix(".safetensors")),) if Path(file).suffix else ()), file)


def find(tag: Tag) -> Path:
    """The file of published weights: in the data folder, the hub's cache or open_clip's own cache.

    Raises:
        MissingFile: in none of them; names the file and where to put it.
        BadFile: it is there and damaged.
    """
    for path in _candidates(tag):
        if path.is_file():
            _refuse_damaged(path, str(tag.config.get("url") or ""))
            return path
    wanted = f"{tag.model}-{tag.name}.safetensors"
    source = f"huggingface.co/{tag.repository[0]}" if tag.repository[0] else str(tag.config.get("url"))
    raise MissingFile(
        f"the weights {tag.name} of CLIP {tag.model} were not found; get the file from {source} and put it into "
        f"{checkpoints.data_home() / 'weights'} as {wanted} (or .bin), or into the hub's or open_clip's cache."
    )


def in_hub_cache(repository: str, file: str) -> Path | None:
    """A file of a repository as the hub's client keeps it, the newest revision; None where it is not there."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, file)
    return Path(found) if isinstance(found, str) else None


def in_folder(folder: Path) -> Path:
    """The weights of a folder that holds an `open_clip_config.json`.

    Raises:
        MissingFile: none of the usual names is there.
    """
    for name in FOLDER_FILES:
        if (folder / name).is_file():
            return folder / name
    raise MissingFile(f"{folder} holds no weights; {FOLDER_FILES[0]} was expected, or give the file as `weights`.")


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a weight file by open_clip's names, whatever a training program wrapped them in.

    Raises:
        MissingFile: there is no such file.
        BadFile: a program instead of tensors, damaged, or nothing like a state dict.
    """
    if not path.is_file():
        raise MissingFile(f"there is no file of weights {str(path)!r}.")
    if path.suffix not in SUFFIXES:
        raise BadFile(f"{path} is no file of weights; {', '.join(SUFFIXES)} are read.")
    loaded = checkpoints.load_tensors(path) if path.suffix == ".safetensors" else _restricted(path)
    tensors = _unwrapped(loaded)
    if not tensors:
        raise BadFile(f"{path} holds no tensors by name; the state dict of a CLIP was expected.")
    return {name: tensor for name, tensor in tensors.items() if name not in NO_WEIGHTS}


def _candidates(tag: Tag) -> Iterator[Path]:
    url = str(tag.config.get("url") or "")
    published = (Path(url).name,) if url else ()
    own = [f"{tag.model}-{tag.name}{suffix}" for suffix in SUFFIXES]
    for place in checkpoints.places():
        for name in (*own, *published):
            yield place / name
    repository, files = tag.repository
    if repository:
        for file in files:
            if found := in_hub_cache(repository, file):
                yield found
    for name in published:
        yield Path(os.path.expanduser("~/.cache/clip")) / name  # open_clip's own, which follows no variable


def _refuse_damaged(path: Path, url: str) -> None:
    """Published names carry the beginning of the file's SHA-256, OpenAI's addresses the whole of it."""
    if path.name != Path(url).name:
        return
    if "openaipublic" in url:
        expected = url.split("/")[-2]
    elif "mlfoundations" in url:
        expected = path.stem.rsplit("-", 1)[-1]
    else:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(expected):
        raise BadFile(
            f"{path} is not the published file (SHA-256 {found[:8]}…, expected {expected[:8]}…); get it anew."
        )


def _restricted(path: Path) -> object:
    """By torch's restricted reader, which builds tensors and plain values only."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of formats that the reader may not know: it says so by an error too
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise BadFile(
            f"{path} holds more than tensors, and reading that can run code; if you trust its source, save its state "
            "dict as safetensors and give that."
        ) from None
    except Exception as error:  # whatever a stranger's bytes make the reader stumble over
        if "TorchScript" in str(error):
            raise BadFile(
                f"{path} is a TorchScript archive, a program; give the published safetensors, or save its state dict."
            ) from None
        raise BadFile(f"{path} is damaged or no file of torch's ({type(error).__name__}); get it again.") from None


def _unwrapped(loaded: object) -> dict[str, Tensor]:
    for nest in NESTS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(nest), Mapping):
            loaded = loaded[nest]
    if not isinstance(loaded, Mapping):
        return {}
    tensors = {str(name): value for name, value in loaded.items() if isinstance(value, Tensor)}
    while tensors and (wrapper := next((w for w in WRAPPERS if all(n.startswith(w) for n in tensors)), None)):
        tensors = {name.removeprefix(wrapper): tensor for name, tensor in tensors.items()}
    return tensors
