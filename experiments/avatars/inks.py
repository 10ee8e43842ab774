"""The colours of one avatar: inks (COUNT, 3), display RGB 0..1, and what light does to materials, (3, 6)."""

import functools

import numpy as np

from .avatar import Attributes, Identity
from .vocabulary import (
    BACKGROUND_COLOURS,
    DYED,
    EARRING_COLOURS,
    EYE_COLOURS,
    FABRIC_COLOURS,
    FRAME_COLOURS,
    HAIR_COLOURS,
    SKIN_TONES,
)

(
    SKIN,
    WARM,
    LIPS,
    MOUTH,
    TONGUE,
    TEETH,
    EYE,
    IRIS,
    LINE,
    BROW,
    HAIR,
    BEARD,
    FRAME,
    LENS,
    HAT,
    HAT_BAND,
    EARRING,
    CLOTH,
    CLOTH_2,
    GROUND,
    GROUND_2,
) = range(21)
COUNT = 21

# Rows of the lit tones: what shadow and light do to skin, hair and cloth.
ON_SKIN, ON_HAIR, ON_CLOTH = range(3)


def mix(a, b, t):
    return tuple(x + (y - x) * t for x, y in zip(a, b))


def scale(a, k):
    return tuple(x * k for x in a)


def luminance(a):
    return 0.30 * a[0] + 0.59 * a[1] + 0.11 * a[2]


@functools.lru_cache(maxsize=4096)
def skin_colour(identity: Identity) -> tuple[float, float, float]:
    return scale(SKIN_TONES[identity.skin], 1.0 + 0.05 * identity.skin_shift)


def hair_colour(attributes: Attributes) -> tuple[float, float, float]:
    """Colour of the hair; age greys it unless it is dyed."""
    colour = HAIR_COLOURS[attributes.hair_colour]
    if attributes.hair_colour in DYED:
        return colour
    grey = 0.72 * min(1.0, max(0.0, (attributes.age - 0.45) / 0.5))
    return mix(colour, (0.74, 0.74, 0.76), grey)


def inks(identity: Identity, attributes: Attributes) -> np.ndarray:
    """The inks, one row each."""
    a = attributes
    skin = skin_colour(identity)
    dark = 1.0 - luminance(skin)
    hair = hair_colour(a)
    ink = np.empty((COUNT, 3))
    ink[SKIN] = skin
    ink[WARM] = mix(skin, (0.95, 0.32, 0.28), 0.62)
    ink[LIPS] = mix(mix(skin, (0.72, 0.34, 0.33), 0.42 + 0.1 * dark), (0.80, 0.18, 0.24), 0.55 * identity.lip_red)
    ink[MOUTH] = (0.27, 0.07, 0.09)
    ink[TONGUE] = (0.82, 0.38, 0.40)
    ink[TEETH] = (0.985, 0.975, 0.95)
    ink[EYE] = (0.975, 0.975, 0.97)
    ink[IRIS] = EYE_COLOURS[identity.eye_colour]
    ink[LINE] = mix((0.10, 0.06, 0.06), hair, 0.10)
    brow = scale(hair, 0.72) if a.hair_style != "bald" else mix(scale(hair, 0.72), scale(skin, 0.45), 0.3)
    # Brows as light as the skin would vanish.
    if abs(luminance(brow) - luminance(skin)) < 0.14:
        brow = scale(skin, 0.52) if luminance(skin) > 0.30 else mix(brow, (0.75, 0.72, 0.70), 0.45)
    ink[BROW] = brow
    ink[HAIR] = hair
    ink[BEARD] = mix(scale(hair, 0.86), skin, 0.06)
    if a.beard == "stubble" and (a.hair_colour in DYED or luminance(hair) > 0.5):
        ink[BEARD] = scale(skin, 0.50)
    frame = FRAME_COLOURS[a.frame_colour]
    ink[FRAME] = frame
    ink[LENS] = mix((0.10, 0.11, 0.14), scale(frame, 0.35), 0.25)
    hat = FABRIC_COLOURS[a.hat_colour]
    ink[HAT] = hat
    second = FABRIC_COLOURS[a.clothes_colour]
    ink[HAT_BAND] = (
        mix(hat, second, 0.75)
        if a.hat in ("brimmed hat", "bobble hat")
        else scale(hat, 0.80)
        if a.hat == "cap"
        else scale(hat, 0.86)
    )
    ink[EARRING] = EARRING_COLOURS[a.earring_colour]
    ink[CLOTH] = second
    ink[CLOTH_2] = mix(second, (0.97, 0.96, 0.93), 0.62) if luminance(second) < 0.62 else scale(second, 0.58)
    ground = BACKGROUND_COLOURS[a.background_colour]
    ink[GROUND] = ground
    far = (1.0, 0.99, 0.96) if luminance(ground) > 0.62 else mix(ground, (1.0, 0.95, 0.9), 0.6)
    ink[GROUND_2] = (
        mix(ground, far, 0.42) if a.background != "hills" else scale(mix(ground, (0.4, 0.5, 0.6), 0.35), 0.82)
    )
    if a.background == "stripes" and luminance(ground) > 0.62:
        ink[GROUND_2] = scale(ground, 0.88)
    return ink


def tones(attributes: Attributes, skin) -> np.ndarray:
    """Factors of shadow and light on skin, hair and cloth: shadows of skin turn red, all lights warm."""
    warm = attributes.light_warmth
    light = np.array((1.05 + 0.05 * warm, 1.02, 1.00 - 0.07 * warm))
    if luminance(skin) < 0.45:
        light_on_skin = light * 1.14
    else:
        light_on_skin = light * (1.04 if luminance(skin) < 0.75 else 1.0)
    return np.array(
        [(0.54, 0.40, 0.385, *light_on_skin), (0.34, 0.31, 0.33, *(light * 1.16)), (0.46, 0.44, 0.50, *(light * 1.06))]
    )
