"""Checkpoints that a study asks for by recipe: trained once, kept in the platform's cache, announced.

A reference is `recipe:NAME:key=value,...` with an optional `seed`; it means the finished checkpoint of that recipe
with those arguments, so a study can name networks that nobody has shipped.
"""

import re
import sys
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

from advgen.core import checkpoints, registry
from advgen.core.errors import BadArgument
from advgen.core.files import sha256
from advgen.experiments.data._files import cache_folder

PREFIX = "recipe:"


def is_trained(ref: str) -> bool:
    """Whether the checkpoint of a reference is there already."""
    return (_folder(ref) / "done").is_file()


def announce(sentence: str) -> None:
    """The default way to say that something is being trained."""
    print(sentence, file=sys.stderr, flush=True)


def checkpoint_of(ref: str, *, device: str = "cpu", say: Callable[[str], None] = announce) -> Path:
    """The checkpoint of a reference; trains it when it is not there yet, and goes on where a training was stopped.

    Raises:
        UnknownName: no such recipe or argument.
        BadArgument: a reference that is none.
    """
    from advgen.core.meter import Meter

    name, seed, args = parsed(ref)
    recipe = registry.create("recipes", name, **args)
    folder = _folder(ref)
    found = sorted(folder.glob("*.safetensors")) if (folder / "done").is_file() else []
    if found:
        return found[0]
    say(f"training {ref.removeprefix(PREFIX)} into {folder}; it is kept for the next time.")
    folder.mkdir(parents=True, exist_ok=True)
    card = recipe.train(folder, seed=seed, device=device, resume=True, limit=None, meter=Meter())
    (folder / "done").write_text(card.name)
    return folder / f"{card.name}.safetensors"


def parsed(ref: str) -> tuple[str, int, dict[str, str]]:
    """Recipe, seed and arguments of a reference.

    Raises:
        BadArgument: it is none.
    """
    name, rest = _cut(ref)
    args: dict[str, str] = {}
    for pair in [p for p in rest.split(",") if p.strip()]:
        key, equals, value = pair.partition("=")
        if not equals:
            raise BadArgument(f"{ref!r} is not recipe:NAME:key=value,...: {pair!r} has no value.")
        args[key.strip()] = value.strip()
    seed = args.pop("seed", "0")
    if not seed.isdigit():
        raise BadArgument(f"the seed in {ref!r} must be a whole number, got {seed!r}.")
    return name, int(seed), args


def _cut(ref: str) -> tuple[str, str]:
    """Name and arguments; a stranger's recipe, `module:Class` or `file.py:Class`, has a colon in its name."""
    pieces = ref.removeprefix(PREFIX).split(":")
    first = next((k for k, piece in enumerate(pieces) if k and "=" in piece), len(pieces))
    return ":".join(pieces[:first]), ":".join(pieces[first:])


def _folder(ref: str) -> Path:
    name = re.sub(r"\W+", "-", Path(_cut(ref)[0]).name)
    key = "\n".join([ref, *_shipped_in(ref)])
    return cache_folder() / "trained" / f"{name}-{blake2b(key.encode(), digest_size=6).hexdigest()}"


def _shipped_in(ref: str) -> list[str]:
    """Hashes of shipped weights that a reference names, itself or by its recipe's defaults: a part of its key."""
    defaults = registry.defaults("recipes", _cut(ref)[0]).values()
    named = {*re.findall(r"[\w.-]+", ref), *(value for value in defaults if isinstance(value, str))}
    files = (checkpoints.places()[0] / f"{word}.safetensors" for word in sorted(named))
    return [sha256(file) for file in files if file.is_file()]
