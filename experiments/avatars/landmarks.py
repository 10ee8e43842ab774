"""Where the named points of a face fall in its picture: the inverse of the pixel loop's turn."""

import math

import numpy as np

from .avatar import Avatar
from .kernel import ZOOM, ZOOM_Y
from .layout import SKULL, numbers
from .vocabulary import LANDMARKS


def _face_points(p) -> list[tuple[float, float]]:
    """The landmarks of the front in face coordinates, in the order of LANDMARKS, up to the chin."""

    def eye(side, q):
        x = q * p["eye_w"]
        return side * (p["eye_x"] + x * p["slant_c"]), p["eye_y"] + x * p["slant_s"]

    def brow(side, q):
        arch = p["brow_arch"] * (1.0 - (q - 0.25) ** 2) - p["brow_tilt"] * q + p["brow_skew"] * side
        return side * (p["eye_x"] + q * 1.22 * p["eye_w"]), p["brow_y"] + arch

    def pupil(side):
        return side * p["eye_x"] + p["gaze_x"], p["eye_y"] + p["gaze_y"] + 0.08 * p["eye_high"]

    corner = 0.095 * p["smile"] * 0.58
    tilt = 0.030 * p["smirk"]
    middle = -0.095 * p["smile"] * 0.42
    return [
        eye(-1, 1.0),
        eye(-1, -1.0),
        pupil(-1),
        eye(1, -1.0),
        eye(1, 1.0),
        pupil(1),
        brow(-1, 0.95),
        brow(-1, 0.1),
        brow(-1, -0.95),
        brow(1, -0.95),
        brow(1, 0.1),
        brow(1, 0.95),
        (0.7 * p["nose_x"], p["eye_y"]),
        (p["nose_x"], p["nose_y"]),
        (p["nose_x"] - 0.5 * p["nose_w"], p["nose_y"] - 0.04),
        (p["nose_x"] + 0.5 * p["nose_w"], p["nose_y"] - 0.04),
        (p["mouth_x"] - p["mouth_w"], p["mouth_y"] + corner - tilt),
        (p["mouth_x"], p["mouth_y"] + middle + 0.03 * p["open"] + 0.7 * p["lip_upper"]),
        (p["mouth_x"] + p["mouth_w"], p["mouth_y"] + corner + tilt),
        (p["mouth_x"], p["mouth_y"] + middle - 0.135 * p["open"] - 1.25 * p["lip_lower"]),
    ]


def _turned(p, x: float, y: float) -> tuple[float, float]:
    """From face coordinates to the head's frame."""
    x, y = x / (p["head_w"] * SKULL), y / (p["head_h"] * SKULL)
    z = math.sqrt(max(0.04, 1.0 - x * x - y * y))
    y, z = y * p["pitch_c"] + z * p["pitch_s"], z * p["pitch_c"] - y * p["pitch_s"]
    x = x * p["yaw_c"] + z * p["yaw_s"]
    return x * p["head_w"] * SKULL, y * p["head_h"] * SKULL


def landmarks(avatar: Avatar, size: int) -> np.ndarray:
    """The points of LANDMARKS in a picture of `size` pixels: (L, 2) float32, (x, y), pixel centres at .5."""
    p = numbers(avatar)
    head = [_turned(p, x, y) for x, y in _face_points(p)]
    jaw = (2.0 ** (-1.0 / p["jaw"])) * p["head_w"] * (1.0 - 0.5 * p["chin_taper"])
    head += [
        (0.0, -p["head_h"]),
        (-jaw, -0.72 * p["head_h"]),
        (jaw, -0.72 * p["head_h"]),
        (p["ear_left"], p["ear_y"]),
        (p["ear_right"], p["ear_y"]),
        _turned(p, 0.0, 0.55 * p["head_h"]),
    ]
    points = np.empty((len(LANDMARKS), 2), np.float32)
    for row, (u, v) in zip(points, head):
        u += p["skew"] * min(1.0, max(0.0, -v / p["head_h"])) ** 1.5
        x = p["head_x"] + p["roll_c"] * u + p["roll_s"] * v
        y = p["head_y"] - p["roll_s"] * u + p["roll_c"] * v
        x, y = ZOOM * x, ZOOM * (y - ZOOM_Y) + ZOOM_Y
        row[:] = (x + 1.0) * 0.5 * size, (1.0 - y) * 0.5 * size
    return points
