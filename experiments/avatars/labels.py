"""An avatar as one flat row of a data table."""

from dataclasses import asdict

from .avatar import Avatar
from .captions import seen_hair_colour
from .styles import STYLES
from .vocabulary import DYED, LONG_STYLES, SMILING, TINTED

# Attributes whose plain name belongs to the yes/no label; the value goes under the name with `_kind`.
_KINDS = ("beard", "glasses", "hat", "earrings")
BINARY_LABELS = (
    "glasses",
    "sunglasses",
    "hat",
    "beard",
    "moustache",
    "earrings",
    "smiling",
    "mouth_open",
    "long_hair",
    "curly_hair",
    "bald",
    "dyed_hair",
    "elderly",
    "turned",
)


def attribute_table(avatar: Avatar) -> dict[str, str | float | bool | int]:
    """The row of one avatar: BINARY_LABELS as bool, every attribute, the identity's numbers (`identity_...`).

    `glasses` are clear ones; `sunglasses` tinted ones. Of what a hat hides nothing is labelled true.
    """
    a = avatar.attributes
    row: dict[str, str | float | bool | int] = {
        "glasses": a.glasses != "none" and a.glasses not in TINTED,
        "sunglasses": a.glasses in TINTED,
        "hat": a.hat != "none",
        "beard": a.beard in ("stubble", "goatee", "full", "long"),
        "moustache": a.beard == "moustache",
        "earrings": a.earrings != "none",
        "smiling": a.expression in SMILING and a.expression_strength > 0.4,
        "mouth_open": a.speech > 0.25
        or (a.expression in ("laugh", "surprised", "grin") and a.expression_strength > 0.5),
        "long_hair": a.hair_style in LONG_STYLES,
        "curly_hair": STYLES[a.hair_style].curl > 0.5 and not (a.hat != "none" and a.hair_style == "puffs"),
        "bald": a.hair_style == "bald" and a.hat == "none",
        "dyed_hair": a.hair_colour in DYED
        and a.hair_style != "bald"
        and not (a.hat != "none" and a.hair_style in ("mohawk", "buzz cut")),
        "elderly": a.age > 0.7,
        "turned": abs(a.yaw) > 12.0,
        "seen_hair_colour": "none" if a.hair_style == "bald" else seen_hair_colour(a),
    }
    for name, value in asdict(a).items():
        row[f"{name}_kind" if name in _KINDS else name] = value
    row["identity"] = avatar.identity.number
    row.update((f"identity_{name}", value) for name, value in asdict(avatar.identity).items() if name != "number")
    row["grain_seed"] = avatar.grain_seed
    return row
