"""Networks that several commands of pictures take by name: generators, encoders, CLIPs, and what judges an edit."""

from collections.abc import Callable
from typing import Any

import click

AVATARS = {"identity": "avatars_identity_32", "attributes": "avatars_attributes_32"}  # where nothing else is named


def say(sentence: str) -> None:
    """A line on stderr."""
    click.echo(sentence, err=True)


def generator_of(ref: str) -> Any:
    """The averaged generator of a file, or of shipped weights by name."""
    from advgen.generators.stylegan2.load import load_stylegan2

    loaded = load_stylegan2(ref)
    for note in loaded.info.notes:
        say(f"note: {note}.")
    return loaded.generator


def encoder_of(ref: str | None, weights: str) -> Any:
    """The encoder named, or that which belongs to the weights."""
    from advgen.inversion.encoder import belonging
    from advgen.zoo.load import zoo_load

    return zoo_load(belonging(weights) if ref is None else ref)[0]


def perceptual_of(net: str | None, side: int) -> tuple[str, Any]:
    """The network that measures, and what it is called in tables."""
    from advgen.core.perceptual import LPIPS, default_net
    from advgen.core.perceptual_nets import NETS

    smallest = NETS["embedded"].min_side
    if net == "none" or (net is None and side < smallest):
        if net is None:
            say(f"note: images under {smallest} pixels are too small for a perceptual network: pixels alone count.")
        return "none", None
    if net is not None:
        return net, LPIPS(net)
    chosen = default_net(side)
    if chosen.net == "embedded":
        say(f"note: {chosen}.")
    return chosen.net, LPIPS(chosen.net)


def clip_of(model: str, weights: str | None, *, truncate: bool = False) -> Any:
    """A CLIP by name or file; what stands in for a published one is said."""
    from advgen.embeddings.encoders.clip import CLIP

    clip = CLIP(model, weights, truncate)
    say(f"note: CLIP is {clip.came_from}.")
    return clip


def made_of_avatars(weights: str) -> bool:
    """Whether the card of a generator says that it was trained on avatars."""
    from advgen.core import checkpoints
    from advgen.core.errors import AdvgenError
    from advgen.generators.stylegan2.load import located

    try:
        return checkpoints.read_card(located(weights)).args.get("data") == "avatars"
    except AdvgenError:
        return False


def identity_of(ref: str, device: Any) -> Callable[[Any], Any]:
    """Images to unit rows of identity, by a network of the zoo."""
    from advgen.editing.networks import as_identity
    from advgen.zoo.load import load, zoo_load

    return as_identity(zoo_load(ref)[0].to(device), load(ref).image_shape)


def attributes_of(ref: str, device: Any) -> tuple[Callable[[Any], Any], tuple[str, ...]]:
    """Images to logits, above 0 = present, and the attributes' names.

    Raises:
        BadArgument: its outputs are not attributes.
    """
    from advgen.core.errors import BadArgument
    from advgen.editing.networks import sized
    from advgen.zoo.load import load, zoo_load

    loaded = load(ref)
    if loaded.decision != "sign" or not loaded.classes:
        raise BadArgument(f"{ref} names no attributes (one logit each, above 0 = present); take a network that does.")
    return sized(zoo_load(ref)[0].to(device), loaded.image_shape), loaded.classes
