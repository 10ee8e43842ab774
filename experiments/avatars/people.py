"""Who there is and what they wear: identities and attributes drawn from a seed.

Every draw comes from its own generator, keyed by (seed, purpose, number), so no draw depends on another.
"""

import functools
import hashlib

import numpy as np

from .avatar import Attributes, Avatar, Identity
from .inks import hair_colour, skin_colour
from .styles import STYLES
from .vocabulary import (
    BACKGROUND_COLOURS,
    BACKGROUNDS,
    BEARDS,
    DYED,
    EARRING_COLOURS,
    EARRINGS,
    EXPRESSIONS,
    EYE_COLOURS,
    FABRIC_COLOURS,
    FRAME_COLOURS,
    GLASSES,
    HAIR_COLOURS,
    HAIR_STYLES,
    HATS,
    NECKLINES,
    PATTERNS,
    PLAIN_BACKGROUNDS,
    PLAIN_STYLES,
    SKIN_TONES,
)

VARIETIES = ("plain", "full")

# Combinations that a training split leaves out: each a set of values that must all hold.
HELD_OUT_COMBINATIONS = (
    {"hair_colour": ("red",), "glasses": ("round",)},
    {"hair_colour": ("blue", "teal"), "hat": ("beanie", "bobble hat")},
    {"beard": ("full", "long"), "hat": ("cap", "brimmed hat")},
    {"hair_style": ("afro",), "hair_colour": ("blonde", "pink")},
    {"earrings": ("hoops",), "glasses": ("sunglasses", "round sunglasses")},
)

_SKINS, _EYES = tuple(SKIN_TONES), tuple(EYE_COLOURS)
_NATURAL = tuple(name for name in HAIR_COLOURS if name not in DYED and name not in ("grey", "white"))
_FABRICS, _FRAMES = tuple(FABRIC_COLOURS), tuple(FRAME_COLOURS)
_RINGS, _GROUNDS = tuple(EARRING_COLOURS), tuple(BACKGROUND_COLOURS)
# The share of the draws that each value gets, in the vocabulary's order.
_BEARD_SHARES = (0.70, 0.06, 0.05, 0.06, 0.09, 0.04)
_GLASSES_SHARES = (0.56, 0.12, 0.12, 0.08, 0.07, 0.05)
_HAT_SHARES = (0.74, 0.06, 0.04, 0.04, 0.06, 0.03, 0.03)
_RING_SHARES = (0.66, 0.10, 0.14, 0.10)
_FACE_SHARES = (0.24, 0.20, 0.12, 0.11, 0.08, 0.06, 0.08, 0.06, 0.05)


def _uniforms(seed: int, purpose: str, number: int, count: int) -> list[float]:
    digest = hashlib.blake2b(f"{seed}/{purpose}/{number}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little"))).random(count).tolist()


def _pick(values, u: float):
    return values[min(int(u * len(values)), len(values) - 1)]


def _weighted(values, shares, u: float):
    for value, share in zip(values, shares):
        u -= share
        if u < 0.0:
            return value
    return values[0]


def _between(low: float, high: float, u: float) -> float:
    return low + (high - low) * u


@functools.lru_cache(maxsize=8192)
def identity(seed: int, number: int) -> Identity:
    """Person `number` of a population. Skin tones take turns, so each has many persons."""
    u = iter(_uniforms(seed, "identity", number, 40))

    def draw(low, high):
        return _between(low, high, next(u))

    skin = _SKINS[(number * 3 + seed) % len(_SKINS)]
    pale = _SKINS.index(skin) < 4
    eyes = _pick(_EYES, next(u)) if pale or next(u) < 0.25 else _pick(_EYES[:3], next(u))
    eye_size = draw(0.098, 0.138)
    head_width = draw(0.360, 0.455)
    # Spacing leaves room for both eyes: a nose's width between them, and the temples outside.
    spacing = min(max(draw(0.38, 0.53), (eye_size + 0.038) / head_width), 0.90 - eye_size / head_width)
    head_height = draw(0.415, 0.500)
    eye_y = draw(0.00, 0.13)
    nose_length = draw(0.30, 0.42)
    freckled = next(u) < (0.35 if _SKINS.index(skin) < 7 else 0.06)
    moled = next(u) < 0.2
    return Identity(
        number=number,
        skin=skin,
        skin_shift=draw(-1.0, 1.0),
        eye_colour=eyes,
        head_width=head_width,
        head_height=head_height,
        jaw=draw(1.75, 3.1),
        chin_taper=draw(0.06, 0.40),
        cheek=draw(-0.03, 0.09),
        eye_size=eye_size,
        eye_open=draw(0.50, 0.76),
        eye_spacing=spacing,
        eye_slant=draw(-0.12, 0.22),
        eye_y=eye_y,
        brow_arch=draw(0.004, 0.045),
        brow_thickness=draw(0.011, 0.026),
        brow_gap=draw(0.035, 0.070),
        nose_length=nose_length,
        nose_width=draw(0.040, 0.074),
        nose_bridge=draw(0.3, 1.0),
        mouth_width=draw(0.105, 0.165),
        mouth_y=nose_length - eye_y + draw(0.21, 0.28),
        lip_upper=draw(0.014, 0.036),
        lip_lower=draw(0.024, 0.050),
        lip_red=next(u) ** 2,
        ear_size=draw(0.072, 0.108),
        neck_width=draw(0.165, 0.225),
        shoulder=draw(0.76, 1.02),
        freckles=draw(0.45, 0.95) if freckled else 0.0,
        blush=draw(0.08, 0.42),
        mole_x=(draw(0.25, 0.55) if next(u) < 0.5 else -draw(0.25, 0.55)) if moled else 0.0,
        mole_y=draw(-0.55, -0.2) if moled else 0.0,
    )


def held_out(attributes: Attributes) -> bool:
    """Whether these attributes hold one of HELD_OUT_COMBINATIONS, which training splits leave out."""
    return any(
        all(getattr(attributes, name) in values for name, values in combination.items())
        for combination in HELD_OUT_COMBINATIONS
    )


def sample(
    seed: int, index: int, variety: str = "full", identities: int = 128, *, allow_held_out: bool = True
) -> Avatar:
    """Avatar `index` of an endless set, the same for the same arguments in any order of calls.

    variety: "plain" is frontal, with few styles, even light and simple backgrounds; "full" is everything.
    allow_held_out: without it, held-out combinations are drawn again.

    Raises:
        ValueError: `variety` is unknown or `identities` is not positive.
    """
    if variety not in VARIETIES:
        raise ValueError(f"variety is 'plain' or 'full', not {variety!r}")
    if identities < 1:
        raise ValueError(f"identities is at least 1, not {identities}")
    attempt = 0
    while True:
        u = _uniforms(seed, f"sample {variety} {attempt}" if attempt else f"sample {variety}", index, 48)
        person = identity(seed, min(int(u[0] * identities), identities - 1))
        attributes = _attributes(person, u, variety)
        if allow_held_out or not held_out(attributes):
            return Avatar(person, attributes, int(u[47] * 2**31))
        attempt += 1


def _contrasting(names, colours, against, u: float, least: float) -> str:
    """A colour whose luminance keeps away from `against`, or the one that keeps furthest."""

    def gap(name):
        r, g, b = colours[name]
        return abs(0.30 * (r - against[0]) + 0.59 * (g - against[1]) + 0.11 * (b - against[2]))

    fit = [name for name in names if gap(name) >= least]
    return _pick(fit, u) if fit else max(names, key=gap)


def _attributes(person: Identity, u: list[float], variety: str) -> Attributes:
    plain = variety == "plain"
    age = 0.0 if u[1] < 0.62 else _between(0.25, 1.0, u[2])
    style = _pick(PLAIN_STYLES if plain else HAIR_STYLES, u[3])
    if age > 0.6 and u[4] < 0.5:
        colour = "grey" if u[5] < 0.6 else "white"
    elif u[4] > 0.84:
        colour = _pick(DYED, u[5])
    else:
        colour = _pick(_NATURAL, u[5])
    long = STYLES[style].length > 0.0 or style in ("pigtails", "braid", "bun", "space buns", "puffs", "ponytail")
    beard = "none" if long and u[6] < 0.86 else _weighted(BEARDS, _BEARD_SHARES, u[7])
    hat = "none" if style in ("afro", "long curly", "puffs", "space buns") else _weighted(HATS, _HAT_SHARES, u[8])
    if plain:
        hat, beard = ("beanie" if u[8] > 0.9 else "none"), ("full" if beard == "full" else "none")
    glasses = _weighted(GLASSES, _GLASSES_SHARES, u[9])
    skin = skin_colour(person)
    drawn_hair = hair_colour(Attributes(hair_colour=colour, age=age))
    ground = _contrasting(_GROUNDS, BACKGROUND_COLOURS, skin, u[10], 0.10)
    ground = _contrasting(
        [name for name in _GROUNDS if name == ground] + list(_GROUNDS[:8]) if plain else [ground],
        BACKGROUND_COLOURS,
        drawn_hair,
        u[11],
        0.0,
    )
    cloth = _contrasting(_FABRICS, FABRIC_COLOURS, BACKGROUND_COLOURS[ground], u[12], 0.10)
    earrings = _weighted(EARRINGS, _RING_SHARES, u[13])
    expression = _weighted(EXPRESSIONS, _FACE_SHARES, u[14])
    if plain:
        expression = _pick(("neutral", "smile", "grin", "surprised"), u[14])
    turned = not plain
    return Attributes(
        hair_style=style,
        hair_colour=colour,
        beard=beard,
        glasses=glasses,
        frame_colour=_contrasting(_FRAMES, FRAME_COLOURS, skin, u[15], 0.24),
        hat=hat,
        hat_colour=_contrasting(_FABRICS, FABRIC_COLOURS, BACKGROUND_COLOURS[ground], u[16], 0.12),
        earrings=earrings,
        earring_colour=_contrasting(_RINGS, EARRING_COLOURS, skin, u[17], 0.10),
        age=age,
        expression=expression,
        expression_strength=_between(0.8, 1.1, u[18]),
        gaze_x=_between(-1.0, 1.0, u[19]) if turned and u[20] < 0.4 else 0.0,
        gaze_y=_between(-0.6, 0.6, u[21]) if turned and u[20] < 0.4 else 0.0,
        yaw=_between(-28.0, 28.0, u[22]) if turned else 0.0,
        pitch=_between(-9.0, 9.0, u[23]) if turned else 0.0,
        roll=_between(-9.0, 9.0, u[24]) if turned else 0.0,
        light_azimuth=_between(-62.0, 62.0, u[25]) if turned else -20.0,
        light_warmth=_between(-0.6, 1.0, u[26]) if turned else 0.0,
        background=_pick(PLAIN_BACKGROUNDS if plain else BACKGROUNDS, u[27]),
        background_colour=ground,
        neckline=_pick(("crew", "v-neck") if plain else NECKLINES, u[28]),
        clothes_colour=cloth,
        pattern="plain" if plain else _weighted(PATTERNS, (0.40, 0.17, 0.15, 0.18, 0.10), u[29]),
    )
