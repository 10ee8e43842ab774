"""The pixel loop: every layer of one avatar, back to front, in a single pass.

Compiled at the first call, not at import, and kept on disk. Numba looks for changes only in the file that
holds the entry function; the entry therefore closes over a digest of all the files it is made from.
"""

import functools
import hashlib
import math
from pathlib import Path

from numba import njit

from .compiling import pixelwise
from .face import paint_brow, paint_ear, paint_eye, paint_mouth, paint_nose, paint_skin
from .hair import back_hair, front_hair, paint_back, paint_beard, paint_cap, paint_sticks
from .inks import ON_CLOTH, ON_HAIR, ON_SKIN
from .scene import paint_background, paint_clothes, paint_neck
from .shapes import clip01, cover, hash01, length, noise2, ramp
from .tables import BEARD, FACE, HAIR, HAT, fill_lines, fill_outlines, outline_distance
from .wear import BOBBLE, hat_shape, paint_arms, paint_bobble, paint_earring, paint_glasses, paint_hat

_SOURCES = ("compiling", "face", "hair", "inks", "kernel", "scene", "shapes", "tables", "vocabulary", "wear")

# The person is laid out at a size that leaves room for hats, and drawn larger about this height.
ZOOM, ZOOM_Y = 1.2, -0.12


@pixelwise
def turn_back(p, u, v):
    """Face coordinates (x, y) of a head pixel and how much a pixel is stretched there."""
    x, y = u / p.skull_w, v / p.skull_h
    q = x * x + y * y
    ox, oy = 0.0, 0.0
    if q > 0.96:
        # Outside the skull the surface runs on straight, so that hair and hat keep their coordinates.
        k = math.sqrt(0.96 / q)
        ox, oy = x * (1.0 - k), y * (1.0 - k)
        x, y, q = x * k, y * k, 0.96
    z = math.sqrt(1.0 - q)
    jx = abs(p.yaw_c + x / z * p.yaw_s)
    jy = abs(p.pitch_c + y / z * p.pitch_s)
    fx = x * p.yaw_c - z * p.yaw_s
    depth = x * p.yaw_s + z * p.yaw_c
    fy = y * p.pitch_c - depth * p.pitch_s
    depth = y * p.pitch_s + depth * p.pitch_c
    if depth < 0.0 and v > -0.55 * p.head_h:
        # Behind the ear the coordinate folds back; unfold it, or the back of the head turns to skin.
        limit = math.sqrt(max(0.05, 1.0 - fy * fy))
        fx = (2.0 * limit - abs(fx)) * (1.0 if fx > 0.0 else -1.0) if abs(fx) < limit else fx
    stretch = math.sqrt(min(max(jx, 0.4), 3.0) * min(max(jy, 0.5), 3.0))
    return (fx + ox) * p.skull_w, (fy + oy) * p.skull_h, stretch


@pixelwise
def paint_head(px, p, x, y, w):
    """All layers that belong to neck, head and clothes."""
    dx, dy = x - p.head_x, y - p.head_y
    u, v = p.roll_c * dx - p.roll_s * dy, p.roll_s * dx + p.roll_c * dy
    low = clip01(-v / p.head_h)
    u -= p.skew * low * math.sqrt(low)
    r = length(u, v)
    near = r < p.reach
    if not near and r > p.sticks_reach and y > p.chin_y + 0.4:
        return
    skin, hair, cloth = ON_SKIN, ON_HAIR, ON_CLOTH

    angle = math.atan2(u, v)
    if angle < 0.0:
        angle += 2.0 * math.pi
    sd_face, face_edge = outline_distance(p, FACE, angle, r)
    sd_hair, hair_edge = outline_distance(p, HAIR, angle, r)
    if p.rough > 0.0 and abs(sd_hair) < 0.3:
        sd_hair += p.rough * (
            noise2(u * p.rough_rate, v * p.rough_rate, p.seed + 10)
            + 0.5 * noise2(u * p.rough_rate * 2.3, v * p.rough_rate * 2.3, p.seed + 11)
        )

    d_back = 9.0
    if p.has_hair > 0.0:
        d_back = back_hair(p, u, v, sd_hair)
        if p.rough > 0.0 and p.sheet_len > 0.0 and v < 0.0:
            d_back += p.rough * noise2(u * p.rough_rate, v * p.rough_rate, p.seed + 12)
        paint_sticks(px, p, hair, u, v, w, 0.0)
        paint_back(px, p, hair, u, v, r, d_back, w)

    sd_chin = sd_face
    if y < p.chin_y + 0.4:
        # The chin's shadow on neck and clothes falls down and away from the lamp.
        su, sv = u + 0.05 * p.light_x, v + 0.07
        shadow_angle = math.atan2(su, sv)
        if shadow_angle < 0.0:
            shadow_angle += 2.0 * math.pi
        sd_chin, _ = outline_distance(p, FACE, shadow_angle, length(su, sv))
        if p.beard_long > 0.0:
            sd_chin -= 0.03
        paint_neck(px, p, skin, x, y, sd_chin, w)
        paint_clothes(px, p, cloth, x, y, sd_chin, w)

    if near:
        fx, fy, stretch = turn_back(p, u, v)
        wf = w * stretch
        depth = r / face_edge
        d_hat = 9.0
        sd_hat, hat_edge = 9.0, 1.0
        if p.hat > 0.0:
            sd_hat, hat_edge = outline_distance(p, HAT, angle, r)
            d_hat = hat_shape(p, u, v, fx, fy, sd_hat)
        d_hair = 9.0
        if p.has_hair > 0.0:
            d_hair = front_hair(p, u, v, fx, fy, sd_hair)

        # The earring of an ear that has turned away is hidden by the face, so it comes before it.
        away = 1.0 if p.yaw_s > 0.12 else (-1.0 if p.yaw_s < -0.12 else 0.0)
        if p.earrings > 0.0 and away != 0.0:
            paint_earring(px, p, cloth, u, v, away, w)
        # Loops over the sides keep each layer's machine code single.
        for k in range(2):
            paint_ear(px, p, skin, u, v, w, 2.0 * k - 1.0, 1.0)

        shade = 0.40 * ramp(0.085, -0.02, d_hair) * p.cap_alpha * (1.0 if fy > -0.2 * p.head_h else 0.6)
        if p.hat > 0.0:
            shade = max(shade, 0.52 * ramp(0.15, -0.02, d_hat))
        paint_skin(px, p, skin, u, v, fx, fy, depth, sd_face, shade, w, wf)
        alpha = cover(sd_face, w)
        if p.near_ear > 0.0:
            paint_ear(px, p, skin, u, v, w, -1.0 if p.yaw_s > 0.0 else 1.0, p.near_ear)
        if p.beard > 0.0:
            sd_beard, _ = outline_distance(p, BEARD, angle, r)
            paint_beard(px, p, hair, u, v, fx, fy, r, sd_beard, w, wf)
        if alpha > 0.0 and sd_face < 0.0:
            paint_nose(px, p, fx, fy, alpha, wf)
            paint_mouth(px, p, skin, fx, fy, alpha, wf)
            for k in range(2):
                paint_eye(px, p, skin, fx, fy, 2.0 * k - 1.0, p.eye_right if k else p.eye_left, alpha, w, wf)
            for k in range(2):
                paint_brow(px, p, fx, fy, 2.0 * k - 1.0, alpha, wf)
        if p.glasses > 0.0:
            paint_arms(px, p, cloth, fx, fy, v, cover(sd_face - 0.01, w), w, wf)
        if d_hair < w:
            paint_cap(px, p, hair, u, v, fx, fy, r, r / hair_edge, d_hair, 0.45 * ramp(0.10, 0.0, d_hat), w)
        paint_sticks(px, p, hair, u, v, w, 1.0)
        if p.earrings > 0.0:
            for k in range(2):
                if 2.0 * k - 1.0 != away:
                    paint_earring(px, p, cloth, u, v, 2.0 * k - 1.0, w)
        if p.glasses > 0.0:
            paint_glasses(px, p, cloth, fx, fy, cover(sd_face - 0.03, w), w, wf)
        if p.hat > 0.0:
            paint_hat(px, p, cloth, u, v, fx, fy, r, r / hat_edge, sd_hat, d_hat, w, wf)
            if p.hat == BOBBLE:
                paint_bobble(px, p, cloth, u, v, w)
    elif p.sticks_reach > r:
        paint_sticks(px, p, hair, u, v, w, 1.0)


@pixelwise
def draw(p, px, image, parts):
    """Draw one avatar into image (H, W, 3) uint8 and parts (H, W) uint8; `px` is the pixel at work."""
    size = image.shape[0]
    w = 2.0 / size
    fill_outlines(p)
    fill_lines(p)
    for j in range(size):
        y = 1.0 - (j + 0.5) * w
        for i in range(size):
            x = (i + 0.5) * w - 1.0
            paint_background(px, p, x, y, w)
            paint_head(px, p, x / ZOOM, (y - ZOOM_Y) / ZOOM + ZOOM_Y, w / ZOOM)
            # Vignette and a grain that belongs to the place in the picture, whatever is drawn there.
            grain = 1.0 + 0.023 * (hash01(i, j, p.grain) + hash01(i, j, p.grain + 1) - 1.0)
            grain *= 1.0 - 0.07 * (x * x + y * y) * 0.5
            image[j, i, 0] = int(255.0 * clip01(px.r * grain * p.warm_r) + 0.5)
            image[j, i, 1] = int(255.0 * clip01(px.g * grain * p.warm_g) + 0.5)
            image[j, i, 2] = int(255.0 * clip01(px.b * grain * p.warm_b) + 0.5)
            parts[j, i] = int(px.part)


@functools.cache
def compiled():
    """The pixel loop as machine code, from the cache on disk where its sources have not changed."""
    here = Path(__file__).parent
    digest = hashlib.blake2b(b"".join((here / f"{name}.py").read_bytes() for name in _SOURCES)).hexdigest()

    def draw_avatar(p, px, image, parts):
        # A closed-over value is part of numba's cache key.
        _ = digest
        draw(p, px, image, parts)

    options = {"nogil": True, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(draw_avatar)
    except RuntimeError:  # neither the package nor the user's cache folder can be written
        return njit(**options)(draw_avatar)
