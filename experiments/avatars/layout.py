"""From an avatar to the numbers that the pixel loop reads: one record, the hair's sticks, inks and tones."""

import functools
import math

import numpy as np

from . import inks, tables
from .avatar import Attributes, Avatar, Identity
from .inks import hair_colour, luminance, skin_colour
from .styles import BEARD_ROWS, EXPRESSION_ROWS, HAT_ROWS, STYLES
from .vocabulary import (
    BACKGROUNDS,
    EARRINGS,
    HATS,
    HIDDEN_BY_HAT,
    NECKLINES,
    PATTERNS,
    TINTED,
)

PIVOT_Y = -0.56  # the head leans about the base of the neck
HEAD_Y = 0.07
SKULL = 1.06  # the ellipsoid that turns features is a little wider than the outline

STICKS = 8  # more than any style has
PIXEL = np.dtype([("r", np.float64), ("g", np.float64), ("b", np.float64), ("part", np.int64)])
_INTEGERS = ("seed", "grain", "stick_count")
_LENS_SHAPES = {"none": 0, "round": 1, "square": 2, "cat-eye": 3, "sunglasses": 2, "round sunglasses": 1}


def _face_numbers(identity: Identity, attributes: Attributes) -> dict:
    i, a = identity, attributes
    head_w, head_h = i.head_width, i.head_height
    smile, opened, teeth, brows_up, brows_tilt, eyes, squint, mouth_scale, smirk = EXPRESSION_ROWS[a.expression]
    k = a.expression_strength
    rest = EXPRESSION_ROWS["neutral"]
    smile, eyes, mouth_scale = (x + (y - x) * k for x, y in ((rest[0], smile), (rest[5], eyes), (rest[7], mouth_scale)))
    opened, teeth, brows_up, brows_tilt, squint, smirk = (
        k * x for x in (opened, teeth, brows_up, brows_tilt, squint, smirk)
    )
    opened = max(opened, 0.0) + 0.62 * a.speech * (1.0 - 0.5 * opened)
    yaw = math.sin(math.radians(a.yaw))
    eyes_open = max(0.0, (eyes - 0.20 * a.age) * (1.0 - a.blink))
    eye_h = i.eye_size * i.eye_open
    eye_y = i.eye_y * head_h
    mouth_y = -i.mouth_y * head_h
    nose_y = eye_y - i.nose_length * head_h
    slant = i.eye_slant
    return {
        "head_w": head_w,
        "head_h": head_h,
        "jaw": i.jaw,
        "chin_taper": i.chin_taper,
        "cheek": i.cheek,
        "skull_w": head_w * SKULL,
        "skull_h": head_h * SKULL,
        "eye_x": i.eye_spacing * head_w,
        "eye_y": eye_y,
        "eye_w": i.eye_size,
        "eye_high": eye_h,
        "eye_low": 0.66 * eye_h,
        "slant_c": math.cos(slant),
        "slant_s": math.sin(slant),
        "iris": 0.92 * eye_h * (1.0 - 0.05 * (i.eye_open - 0.6)),
        "eye_left": eyes_open * (1.0 - (k if a.expression == "wink" else 0.0)),
        "eye_right": eyes_open,
        "squint": squint,
        "gaze_x": 0.46 * i.eye_size * a.gaze_x,
        "gaze_y": 0.42 * eye_h * a.gaze_y,
        "brow_y": eye_y + eye_h + i.brow_gap + brows_up,
        "brow_arch": i.brow_arch,
        "brow_tilt": brows_tilt,
        "brow_half": i.brow_thickness,
        "brow_skew": 0.014 * smirk,
        "nose_x": 0.105 * yaw,
        "nose_y": nose_y + 0.05 * math.sin(math.radians(a.pitch)),
        "nose_w": i.nose_width,
        "nose_bridge": i.nose_bridge,
        "mouth_x": 0.03 * yaw + 0.012 * smirk,
        "mouth_y": mouth_y,
        "mouth_w": i.mouth_width * mouth_scale,
        "smile": smile,
        "smirk": smirk,
        "open": opened,
        "round": min(1.0, max(0.0, 3.0 * (1.0 - mouth_scale))) * min(1.0, 4.0 * opened),
        "teeth": min(1.0, teeth + 0.5 * min(1.0, 2.0 * a.speech)),
        "lip_upper": i.lip_upper,
        "lip_lower": i.lip_lower,
        "freckles": i.freckles,
        "blush": i.blush * (1.0 + 0.3 * max(0.0, smile)),
        "age": a.age,
        "mole": float(i.mole_x != 0.0),
        "mole_x": i.mole_x * head_w,
        "mole_y": i.mole_y * head_h,
    }


def _pose_numbers(identity: Identity, attributes: Attributes, face: dict) -> dict:
    a, head_w, head_h = attributes, identity.head_width, identity.head_height
    yaw, pitch, roll = (math.radians(x) for x in (a.yaw, a.pitch, a.roll))
    yaw_s, roll_s, roll_c = math.sin(yaw), math.sin(roll), math.cos(roll)
    lever = HEAD_Y - PIVOT_Y
    ear = math.radians(97.0)
    ear_right, ear_left = 1.01 * head_w * math.sin(ear + yaw), 1.01 * head_w * math.sin(yaw - ear)
    ear_y = 0.5 * (face["eye_y"] + face["nose_y"])
    return {
        "head_x": lever * roll_s + 0.035 * yaw_s,
        "head_y": PIVOT_Y + lever * roll_c,
        "yaw_s": yaw_s,
        "yaw_c": math.cos(yaw),
        "pitch_s": math.sin(pitch),
        "pitch_c": math.cos(pitch),
        "roll_s": roll_s,
        "roll_c": roll_c,
        "skew": 0.10 * yaw_s,
        "ear_right": ear_right,
        "ear_left": ear_left,
        "ear_y": ear_y,
        "ear_size": identity.ear_size,
        "ear_flat_right": min(0.95, max(0.42, 0.60 - 0.75 * yaw_s)),
        "ear_flat_left": min(0.95, max(0.42, 0.60 + 0.75 * yaw_s)),
        "near_ear": min(1.0, max(0.0, (abs(yaw_s) - 0.10) / 0.12)),
        "ring_right": ear_right + 0.02 * roll_c,
        "ring_left": ear_left - 0.02 * roll_c,
        "ring_y": ear_y - 1.28 * identity.ear_size,
        "neck_w": identity.neck_width,
        "shoulder_y": -0.60,
        "shoulder_w": identity.shoulder,
        "chin_y": PIVOT_Y + lever * roll_c - head_h,
        "neck_top_x": 0.75 * lever * roll_s + 0.03 * yaw_s,
    }


def _hair_numbers(identity: Identity, attributes: Attributes) -> dict:
    a, head_w, head_h = attributes, identity.head_width, identity.head_height
    row = STYLES[a.hair_style]
    hatted = a.hat != "none"
    yaw = math.radians(a.yaw)
    inner = row.lock_inner
    depth = math.sqrt(max(0.0, 1.0 - inner * inner))
    wide = row.wide + 0.05 * abs(math.sin(yaw))
    top, side = (min(row.top, 0.04), min(row.side, 0.16)) if hatted else (row.top, row.side)
    return {
        "has_hair": float(a.hair_style != "bald"),
        "hair_top": top,
        "hair_side": side,
        "hair_tall": 0.0 if hatted else row.tall,
        "hair_lean": row.lean * math.cos(yaw),
        "hairline": row.hairline,
        "temple": row.temple,
        "sweep": row.sweep,
        "notch": row.notch,
        "part_q": row.part_x,
        "peak": row.peak,
        "fringe_ragged": row.ragged,
        "part_x": row.part_x * head_w,
        "part_y": row.part_y * head_h,
        "part_line": row.part_line,
        "side_x": row.side_x * head_w if row.side_x < 1.5 else 9.0,
        "side_y": row.side_y * head_h,
        "cap_bottom": row.bottom * head_h,
        "lock_rate": row.lock_rate,
        "curly": row.curl,
        "curl_rate": row.curl_rate,
        "rough": row.rough,
        "rough_rate": row.curl_rate * 0.9 if row.curl else 9.0,
        "spikes": 0.0 if hatted else row.spikes,
        "spike_rate": row.spike_rate,
        "crest": row.crest * head_w,
        "cap_alpha": row.alpha,
        "sheet_len": row.length,
        "sheet_top": 0.40 * head_h,
        "sheet_wide": wide * head_w,
        "sheet_end": row.end * head_w,
        "sheet_ragged": row.ends_ragged,
        "sheet_round": 1.0,
        "wave": row.wave,
        "wave_rate": 9.5,
        "locks": row.locks,
        "lock_open": row.lock_open,
        "lock_right": min(inner * math.cos(yaw) + depth * math.sin(yaw), wide - 0.10) * head_w,
        "lock_left": min(inner * math.cos(yaw) - depth * math.sin(yaw), wide - 0.10) * head_w,
        "gloss_y": (0.62 + 0.6 * row.top) * head_h,
    }


def _worn_numbers(identity: Identity, attributes: Attributes, face: dict, pose: dict) -> dict:
    a, head_w, head_h = attributes, identity.head_width, identity.head_height
    full, chin, tash, soft, out, long, middle, side = BEARD_ROWS[a.beard]
    hat_side, hat_top, hat_y, dip = HAT_ROWS[a.hat]
    yaw_s, pitch_s = pose["yaw_s"], pose["pitch_s"]
    lens_w = min(0.155, 0.92 * face["eye_x"] - 0.012)
    if a.glasses in ("sunglasses", "round sunglasses"):
        lens_w = min(lens_w * 1.06, 0.92 * face["eye_x"])
    return {
        "beard": float(a.beard != "none"),
        "beard_full": full,
        "beard_chin": chin,
        "moustache": tash,
        "beard_soft": soft,
        "beard_out": out,
        "beard_long": long,
        "beard_middle": middle,
        "beard_side": side,
        "glasses": float(_LENS_SHAPES[a.glasses]),
        "tinted": float(a.glasses in TINTED),
        "lens_w": lens_w,
        "glass_x": face["eye_x"],
        "glass_y": face["eye_y"] + 0.004,
        "glass_shift_x": 0.05 * yaw_s,
        "glass_shift_y": 0.03 * pitch_s,
        "frame_half": 0.0165 if a.glasses != "round" else 0.0155,
        "earrings": float(EARRINGS.index(a.earrings)),
        "hat": float(HATS.index(a.hat)),
        "hat_side": hat_side,
        "hat_top": hat_top,
        "hat_y": hat_y * head_h,
        "rim_dip": dip * head_h,
        "brim_x": 0.10 * head_w * yaw_s,
        "brim_y": (hat_y + 0.02 + 0.3 * pitch_s) * head_h,
        "brim_w": (1.82 if a.hat == "brimmed hat" else 1.34) * head_w,
        "brim_h": (0.235 if a.hat == "brimmed hat" else 0.36) * head_h,
        "brim_bend": -0.045 if a.hat == "brimmed hat" else 0.10,
        "bobble_x": -0.12 * head_w * yaw_s,
        "bobble_y": (1.0 + hat_top + 0.06) * head_h,
    }


def _light_numbers(identity: Identity, attributes: Attributes) -> dict:
    a = attributes
    azimuth, height = math.radians(a.light_azimuth), math.radians(38.0 - 16.0 * max(0.0, a.light_warmth))
    light_x = math.sin(azimuth) * math.cos(height)
    warm = a.light_warmth
    return {
        "light_x": light_x,
        "light_y": math.sin(height),
        "light_z": math.cos(azimuth) * math.cos(height),
        "catch_side": 1.0 if light_x > 0.0 else -1.0,
        "warm_r": 1.0 + 0.055 * warm,
        "warm_g": 1.0 + 0.005 * warm,
        "warm_b": 1.0 - 0.10 * warm,
        "background": float(BACKGROUNDS.index(a.background)),
        "neckline": float(NECKLINES.index(a.neckline)),
        "pattern": float(PATTERNS.index(a.pattern)),
    }


def _sticks(identity: Identity, attributes: Attributes) -> list[tuple]:
    row = STYLES[attributes.hair_style]
    sticks = () if attributes.hat != "none" and attributes.hair_style in HIDDEN_BY_HAT else row.sticks
    yaw = math.radians(attributes.yaw)
    c, s = math.cos(yaw), math.sin(yaw)
    w, h = identity.head_width, identity.head_height

    def across(point, front):
        # A braid over the shoulder hangs there still when the head turns; it must not cross the eye.
        x = point[0] * c + point[2] * s
        return w * (max(x, 0.94) if front else x)

    return [
        (across(a, front), a[1] * h, across(b, front), b[1] * h, ra, rb, braid, front)
        for a, b, ra, rb, braid, front in sticks
    ]


@functools.cache
def record_type(names: tuple[str, ...]) -> np.dtype:
    """The type of the record: the scalars of these names, then the tables.

    Everything the loop reads is in one record: records carry no reference count, which arrays passed from
    function to function would raise and lower, atomically, at every pixel.
    """
    return np.dtype(
        [(name, np.int64 if name in _INTEGERS else np.float64) for name in names]
        + [
            ("ink", np.float64, (inks.COUNT, 3)),
            ("tones", np.float64, (3, 6)),
            ("sticks", np.float64, (STICKS, 8)),
            ("radius", np.float64, (tables.OUTLINES, tables.ANGLES + 1)),
            ("rate", np.float64, (tables.OUTLINES, tables.ANGLES + 1)),
            ("lines", np.float64, (2, tables.ACROSS)),
        ]
    )


def numbers(avatar: Avatar) -> np.void:
    """The record of one avatar; outlines and lines are left for the loop to fill."""
    i, a = avatar.identity, avatar.attributes
    face = _face_numbers(i, a)
    pose = _pose_numbers(i, a, face)
    skin = skin_colour(i)
    values = {**face, **pose, **_hair_numbers(i, a), **_worn_numbers(i, a, face, pose), **_light_numbers(i, a)}
    reach = 1.62 if a.hat == "brimmed hat" or a.hair_style in ("afro", "long curly") else 1.45
    long = STYLES[a.hair_style].length
    values["reach"] = max(reach * max(i.head_width, i.head_height) + 0.12, 1.9 * long)
    values["sticks_reach"] = 3.0 if STYLES[a.hair_style].sticks else 0.0
    bright = luminance(hair_colour(a))
    values["hair_shine"] = 0.34 if bright < 0.5 else 0.42
    # Between light strands the gaps are light too: white hair scatters what falls in.
    values["grain_depth"] = 0.46 - 0.17 * bright
    values["skin_shine"] = 0.27 + 0.08 * (1.0 - luminance(skin))
    values["lip_shine"] = 0.34
    values["seed"] = i.number * 131 + 17
    values["grain"] = avatar.grain_seed & 0xFFFF
    values["grain_phase"] = (avatar.grain_seed % 997) / 997.0 * 6.28
    sticks = _sticks(i, a)
    values["stick_count"] = len(sticks)
    record = np.zeros(1, record_type(tuple(values)))
    record[list(values)] = tuple(values.values())
    record = record[0]
    record["ink"], record["tones"] = inks.inks(i, a), inks.tones(a, skin)
    if sticks:
        record["sticks"][: len(sticks)] = sticks
    return record
