"""What is drawn: a person, what the person wears and does, and the seed of the picture's grain.

Sides are the viewer's: left is the left of the picture. Angles are degrees.
"""

import difflib
from dataclasses import dataclass, fields, replace

from .vocabulary import (
    BACKGROUND_COLOURS,
    BACKGROUNDS,
    BEARDS,
    EARRING_COLOURS,
    EARRINGS,
    EXPRESSIONS,
    FABRIC_COLOURS,
    FRAME_COLOURS,
    GLASSES,
    HAIR_COLOURS,
    HAIR_STYLES,
    HATS,
    NECKLINES,
    PATTERNS,
)


@dataclass(frozen=True)
class Identity:
    """What stays the same in every picture of one person. Lengths in half-frames unless said otherwise."""

    number: int
    skin: str  # a name of SKIN_TONES
    skin_shift: float  # -1..1, paler or darker within the tone
    eye_colour: str  # a name of EYE_COLOURS
    head_width: float  # half-width of the skull
    head_height: float  # half-height of the skull
    jaw: float  # exponent of the jaw's outline: 1.7 pointed .. 3.2 square
    chin_taper: float  # 0..0.4, share of the width lost at the chin
    cheek: float  # -0.05..0.1, fullness of the cheeks
    eye_size: float  # half-width of an eye
    eye_open: float  # height of an eye over its width
    eye_spacing: float  # centre to middle, share of the head's half-width
    eye_slant: float  # radians, positive: outer corner up
    eye_y: float  # share of the head's half-height above its middle
    brow_arch: float
    brow_thickness: float
    brow_gap: float
    nose_length: float
    nose_width: float
    nose_bridge: float  # 0..1, how far the ridge stands out
    mouth_width: float
    mouth_y: float  # share of the head's half-height below its middle
    lip_upper: float
    lip_lower: float
    lip_red: float  # 0..1
    ear_size: float
    neck_width: float
    shoulder: float
    freckles: float  # 0..1
    blush: float  # 0..1
    mole_x: float  # face coordinates, share of the half-width; 0 with mole_y 0: none
    mole_y: float


@dataclass(frozen=True)
class Attributes:
    """What may change between two pictures of one person."""

    hair_style: str = "short"
    hair_colour: str = "brown"
    beard: str = "none"
    glasses: str = "none"
    frame_colour: str = "black"
    hat: str = "none"
    hat_colour: str = "blue"
    earrings: str = "none"
    earring_colour: str = "gold"
    age: float = 0.0  # 0 young .. 1 old: lines, greyer hair, lower lids
    expression: str = "neutral"
    expression_strength: float = 1.0  # 0..1.2
    blink: float = 0.0  # 0 open .. 1 closed
    speech: float = 0.0  # 0 mouth as the expression has it .. 1 wide open
    gaze_x: float = 0.0  # -1 left .. 1 right
    gaze_y: float = 0.0  # -1 down .. 1 up
    yaw: float = 0.0  # -35..35, positive: turned to the right of the picture
    pitch: float = 0.0  # -15..15, positive: up
    roll: float = 0.0  # -20..20, positive: head leans to the right of the picture
    light_azimuth: float = -25.0  # -80 from the left .. 80 from the right
    light_warmth: float = 0.0  # -1 cold .. 1 warm
    background: str = "plain"
    background_colour: str = "mint"
    neckline: str = "crew"
    clothes_colour: str = "coral"
    pattern: str = "plain"


@dataclass(frozen=True)
class Avatar:
    """One picture. `grain_seed` seeds texture and grain, and no attribute does."""

    identity: Identity
    attributes: Attributes
    grain_seed: int


_ATTRIBUTE_NAMES = frozenset(field.name for field in fields(Attributes))
_VALUES = {
    "hair_style": HAIR_STYLES,
    "hair_colour": HAIR_COLOURS,
    "beard": BEARDS,
    "glasses": GLASSES,
    "frame_colour": FRAME_COLOURS,
    "hat": HATS,
    "hat_colour": FABRIC_COLOURS,
    "earrings": EARRINGS,
    "earring_colour": EARRING_COLOURS,
    "expression": EXPRESSIONS,
    "background": BACKGROUNDS,
    "background_colour": BACKGROUND_COLOURS,
    "neckline": NECKLINES,
    "clothes_colour": FABRIC_COLOURS,
    "pattern": PATTERNS,
}


def counterfactual(avatar: Avatar, **changes) -> Avatar:
    """The same person in the same picture with some attributes changed; all else stays, to the byte.

    Raises:
        ValueError: a change names no attribute, or a value that the attribute does not have.
    """
    for name, value in changes.items():
        if name not in _ATTRIBUTE_NAMES:
            raise ValueError(f"{name!r} is no attribute of an avatar; there are {', '.join(sorted(_ATTRIBUTE_NAMES))}")
        if name in _VALUES and value not in _VALUES[name]:
            near = difflib.get_close_matches(str(value), _VALUES[name], n=1)
            raise ValueError(
                f"{name} has no value {value!r}"
                + (f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(_VALUES[name])}")
            )
    return replace(avatar, attributes=replace(avatar.attributes, **changes))
