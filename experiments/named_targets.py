"""What the name of a target means: a network, CLIP against prompts (`clip:...`), a face matcher (`matcher:NAME`)."""

from collections.abc import Callable

from advgen.core.errors import BadArgument
from advgen.core.specs import DataSpec, Part, Scalar
from advgen.core.types import Slice
from advgen.experiments import clip_target, detector_target, matcher_target
from advgen.zoo import load as zoo

COMMON = ("decision", "stochastic")  # what every target takes


def named(
    part: Part, data: DataSpec, sample: Slice, first: Callable[[DataSpec, int], Slice], found: Callable[[str], str]
) -> tuple[zoo.Loaded, dict[str, Scalar]]:
    """What a part names, with its arguments among `COMMON`.

    Raises:
        BadArgument: an argument that this kind of target does not take; a matcher without its gallery.
    """
    own: tuple[str, ...] = ()
    if clip_target.is_zero_shot(part):
        loaded, own = clip_target.zero_shot(part), clip_target.ARGS
    elif matcher_target.is_matcher(part):
        loaded, own = matcher_target.matcher(part, data, sample, first, found), matcher_target.ARGS
    else:
        loaded = zoo.load(found(part.name))
        if loaded.card.kind == "matcher":
            raise BadArgument(
                f"{part.name} is a face matcher, which needs a gallery to decide; name it {matcher_target.PREFIX}"
                f"{part.name}."
            )
    unknown = [name for name, _ in part.args if name not in (*own, *COMMON)]
    if unknown:
        raise BadArgument(
            f"the target {part.name} takes the arguments {', '.join((*own, *COMMON))}, got {', '.join(unknown)}."
        )
    return loaded, {name: value for name, value in part.args if name in COMMON}


def channels_of(part: Part) -> int:
    """Of the pictures that a target takes, where it says so; else 3."""
    if detector_target.is_detector(part):
        return 3
    shape = (
        None if clip_target.is_zero_shot(part) else zoo.load(part.name.removeprefix(matcher_target.PREFIX)).image_shape
    )
    return shape[0] if shape else 3
