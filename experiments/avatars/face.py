"""Skin, ears, eyes, brows, nose and mouth of one pixel.

(u, v): head frame, half-frames from the head's middle. (x, y): face coordinates, the pixel turned back
through the skull, so that a feature drawn here follows every turn of the head. `wf`: width of the pixel
in face coordinates.
"""

import math

from .compiling import pixelwise
from .inks import BROW, EYE, IRIS, LINE, LIPS, MOUTH, SKIN, TEETH, TONGUE, WARM
from .shapes import bump, cell, clip01, cover, ellipse, length, mix, over, paint, ramp, stroke
from .vocabulary import PARTS

PART_FACE, PART_EAR, PART_LIPS, PART_MOUTH = PARTS["face"], PARTS["ear"], PARTS["lips"], PARTS["mouth"]
PART_EYE, PART_IRIS, PART_BROW = PARTS["eye"], PARTS["iris"], PARTS["brow"]


@pixelwise
def lamp(p, nx, ny, nz):
    """Light 0..1 that falls on a surface with this normal, wrapped a little around the edge."""
    return clip01((nx * p.light_x + ny * p.light_y + nz * p.light_z + 0.22) / 1.16)


@pixelwise
def relief(p, x, y):
    """Slope (x, y) of the face's height field: nose, sockets, brows, cheeks, mouth and chin."""
    sx, sy = 0.0, 0.0
    nose_x, ax = p.nose_x, abs(x)
    side = 1.0 if x > 0.0 else -1.0
    _, dx, dy = bump(x, y, nose_x * 0.7, p.nose_y * 0.45 + p.eye_y * 0.55, 0.050, 0.15)
    sx, sy = sx + 0.030 * p.nose_bridge * dx, sy + 0.030 * p.nose_bridge * dy
    _, dx, dy = bump(x, y, nose_x, p.nose_y, p.nose_w * 0.85, 0.058)
    sx, sy = sx + 0.045 * dx, sy + 0.040 * dy
    wing = (x - nose_x) - (p.nose_w if x > nose_x else -p.nose_w)
    _, dx, dy = bump(wing, y, 0.0, p.nose_y - 0.008, 0.034, 0.034)
    sx, sy = sx + 0.014 * dx, sy + 0.014 * dy
    _, dx, dy = bump(ax, y, p.eye_x * 0.92, p.eye_y + 0.012, 0.125, 0.085)
    sx, sy = sx - 0.016 * dx * side, sy - 0.016 * dy
    _, dx, dy = bump(ax, y, p.eye_x, p.brow_y, 0.14, 0.055)
    sx, sy = sx + 0.008 * dx * side, sy + 0.008 * dy
    _, dx, dy = bump(ax, y, p.head_w * 0.56, p.mouth_y * 0.42, 0.15, 0.13)
    lift = 0.022 + 0.012 * max(p.smile, 0.0)
    sx, sy = sx + lift * dx * side, sy + lift * dy
    _, dx, dy = bump(x, y, 0.0, -0.86 * p.head_h, 0.12, 0.075)
    sx, sy = sx + 0.022 * dx, sy + 0.022 * dy
    _, dx, dy = bump(x, y, 0.0, p.mouth_y + 0.03, 0.15, 0.10)
    return sx + 0.012 * dx, sy + 0.012 * dy


@pixelwise
def paint_ear(px, p, tone, u, v, w, side, alpha):
    """One ear; `side` is -1 left, +1 right."""
    ear_x = p.ear_right if side > 0.0 else p.ear_left
    rx = p.ear_size * (p.ear_flat_right if side > 0.0 else p.ear_flat_left)
    x, y = (u - ear_x) * side, v - p.ear_y
    if abs(x) > 2.0 * rx + w or abs(y) > 1.6 * p.ear_size + w:
        return
    sd = ellipse(x - 0.12 * y, y, rx * (1.0 + 0.25 * clip01(y / p.ear_size)), 1.35 * p.ear_size)
    bowl = ellipse(x - 0.12 * y + 0.1 * rx, y - 0.1 * p.ear_size, 0.55 * rx, 0.80 * p.ear_size)
    light = lamp(p, 0.55 * side, 0.25, 0.75)
    light *= 1.0 - 0.50 * cover(bowl, 0.03 + w) * ramp(-1.4, 0.6, -x / rx)
    light = clip01(light + 0.25 * ramp(-0.03, 0.0, sd) * clip01(y / p.ear_size))
    paint(px, p, SKIN, light, 0.0, cover(sd, w) * alpha, PART_EAR, tone)
    over(px, px.r * 0.86, px.g * 0.62, px.b * 0.60, 0.35 * cover(sd, w) * alpha, PART_EAR)


@pixelwise
def paint_skin(px, p, tone, u, v, x, y, depth, sd, shade, w, wf):
    """The face's skin: light, blush, freckles and lines. `depth`: 0 at the middle, 1 at the outline."""
    alpha = cover(sd, w)
    if alpha <= 0.0:
        return
    r = length(u, v) + 1e-9
    k = 0.93 * min(depth, 1.0) ** 2
    sx, sy = relief(p, x, y)
    nx, ny, nz = k * u / r - sx, 0.9 * k * v / r - sy, math.sqrt(1.0 - k * k)
    norm = 1.0 / math.sqrt(nx * nx + ny * ny + nz * nz)
    nx, ny, nz = nx * norm, ny * norm, nz * norm
    light = lamp(p, nx, ny, nz)
    # The nose throws its shadow away from the lamp.
    cast_x = p.nose_x - 0.055 * p.light_x / (0.4 + p.light_z)
    fall, _, _ = bump(x, y, cast_x, p.nose_y - 0.055, p.nose_w * 1.15, 0.038)
    light *= (1.0 - 0.30 * fall) * (1.0 - shade)
    half = 1.0 / math.sqrt(2.0 + 2.0 * p.light_z)
    shine = max(0.0, (nx * p.light_x + ny * p.light_y + nz * (1.0 + p.light_z)) * half)
    shine *= shine
    shine *= shine
    shine *= shine
    shine = shine * shine * p.skin_shine * (1.0 - shade)
    paint(px, p, SKIN, light, shine, alpha, PART_FACE, tone)

    ax = abs(x)
    red, _, _ = bump(ax, y, p.head_w * 0.58, p.mouth_y * 0.48, 0.15, 0.11)
    tip, _, _ = bump(x, y, p.nose_x, p.nose_y, 0.07, 0.06)
    red = clip01(p.blush * (red + 0.55 * tip))
    over(
        px,
        mix(px.r, p.ink[WARM, 0], 0.5),
        mix(px.g, p.ink[WARM, 1] * (0.4 + 0.6 * light), 0.6),
        mix(px.b, p.ink[WARM, 2] * (0.4 + 0.6 * light), 0.6),
        red * alpha,
        PART_FACE,
    )
    if p.freckles > 0.05 and p.mouth_y * 0.75 < y < p.eye_y and ax < p.head_w * 0.85:
        _, _, d, own = cell(x * 30.0, y * 30.0, p.seed)
        spot = cover((d - 0.10 - 0.16 * own) / 30.0, max(wf, 0.012)) * ramp(0.07, 0.02, w)
        zone, _, _ = bump(ax, y, p.head_w * 0.38, p.mouth_y * 0.30, 0.20, 0.13)
        if own > 1.0 - p.freckles:
            over(px, px.r * 0.74, px.g * 0.58, px.b * 0.50, 0.85 * spot * zone * alpha, PART_FACE)
    if p.mole > 0.0:
        d = length(x - p.mole_x, y - p.mole_y) - max(0.011, 0.45 * wf)
        over(px, px.r * 0.38, px.g * 0.26, px.b * 0.24, 0.85 * cover(d, wf) * alpha, PART_FACE)
    if p.age > 0.02:
        paint_lines(px, p, x, y, wf, alpha)


@pixelwise
def paint_lines(px, p, x, y, wf, alpha):
    """Lines of age: brow, crow's feet, bags under the eyes, from nose to mouth."""
    ax = abs(x)
    line = 0.0
    half = max(0.0035, 0.22 * wf)
    for i in range(3):
        at = p.brow_y + 0.10 + 0.052 * i + 0.012 * math.sin(ax * 16.0 + 1.7 * i)
        line = max(line, stroke(y - at, half, wf) * ramp(0.72, 0.35, ax / p.head_w + 0.07 * i) * 0.8)
    fold = ramp(0.0, 1.0, (p.nose_y + 0.02 - y) / (p.nose_y + 0.02 - p.mouth_y + 0.03))
    if p.mouth_y - 0.04 < y < p.nose_y + 0.03:
        at = p.nose_w + 0.03 + (p.mouth_w - p.nose_w + 0.015) * fold
        line = max(line, stroke((ax - at) * 0.8, half * 1.25, wf) * (1.0 - abs(2.0 * fold - 1.0) ** 3))
    ex = (ax - p.eye_x) / p.eye_w
    if abs(ex) < 1.1:
        at = p.eye_y - p.eye_low - 0.038 + 0.030 * ex * ex
        line = max(line, 0.8 * stroke(y - at, half, wf) * ramp(1.1, 0.5, abs(ex)))
    if 1.15 < ex < 1.75:
        for i in range(3):
            at = p.eye_y + (i - 1) * (0.012 + 0.05 * (ex - 1.15))
            line = max(line, stroke(y - at, half * 0.9, wf) * ramp(1.75, 1.35, ex))
    over(px, px.r * 0.56, px.g * 0.46, px.b * 0.44, 0.75 * p.age * line * alpha, PART_FACE)


@pixelwise
def paint_eye(px, p, tone, x, y, side, opened, alpha, w, wf):
    """One eye with lids and lashes. `opened`: 0 closed, 1 at rest, more when surprised."""
    ex, ey = (x - side * p.eye_x) * side, y - p.eye_y
    if abs(ex) > 1.6 * p.eye_w + wf or abs(ey) > 2.2 * p.eye_w + wf:
        return
    ex, ey = p.slant_c * ex + p.slant_s * ey, -p.slant_s * ex + p.slant_c * ey
    q = ex / p.eye_w
    arc = 1.0 - q * q
    skewed = arc * (1.0 + 0.16 * q)
    low = -(p.eye_low * (1.0 - 0.45 * p.squint)) * arc * (1.0 + 0.10 * q)
    high_at_rest = p.eye_high * skewed
    shut = 1.0 - min(opened, 1.0)
    high = mix(high_at_rest * max(opened, 1.0), -0.85 * p.eye_low * arc, shut)
    slope = 1.0 / math.sqrt(1.0 + (2.0 * p.eye_high * opened * q / p.eye_w) ** 2)
    slope_low = 1.0 / math.sqrt(1.0 + (2.0 * p.eye_low * q / p.eye_w) ** 2)
    half_lid = max(0.0105 * (1.0 - 0.25 * p.age), 0.42 * wf)

    # Lid between crease and lashes, then the crease itself.
    crease = high_at_rest * max(opened, 1.0) * 1.22 + 0.020 + 0.010 * p.age * (-1.0 + 1.5 * abs(q))
    inside = 1.0 if abs(q) < 1.15 else 0.0
    lid = cover((ey - crease) * slope, 2.0 * wf) * cover((high - ey) * slope, wf) * inside
    over(px, px.r * 0.90, px.g * 0.80, px.b * 0.79, 0.65 * lid * alpha * ramp(1.15, 0.8, abs(q)), PART_FACE)
    fade = ramp(1.12, 0.75, abs(q)) * alpha
    over(
        px,
        px.r * 0.62,
        px.g * 0.48,
        px.b * 0.46,
        0.75 * fade * stroke((ey - crease) * slope, max(0.0045, 0.25 * wf), wf),
        PART_FACE,
    )

    ball = min(cover((ey - high) * slope, wf), cover((low - ey) * slope_low, wf))
    if abs(q) >= 1.0:
        ball = 0.0
    if ball > 0.0 and opened > 0.06:
        dim = 1.0 - 0.40 * ramp(0.035, 0.0, high - ey) - 0.14 * q * q
        over(px, p.ink[EYE, 0] * dim, p.ink[EYE, 1] * dim, p.ink[EYE, 2] * (dim + 0.02), ball * alpha, PART_EYE)
        # Gaze is the viewer's, so it does not mirror with the eye.
        ix, iy = ex - p.gaze_x * side, ey - p.gaze_y - 0.08 * p.eye_high
        radius = max(p.iris, 1.2 * wf)
        d = length(ix, iy)
        disc = cover(d - radius, wf) * ball * alpha
        if disc > 0.0:
            glow = 0.72 + 0.62 * ramp(0.4, -1.0, iy / radius) - 0.12 * ramp(0.02, 0.06, w)
            fibre = 1.0 + 0.14 * math.sin(9.0 * math.atan2(iy, ix)) * ramp(0.03, 0.012, w)
            rim = 1.0 - 0.62 * ramp(0.66, 1.0, d / radius)
            k = glow * fibre * rim * (1.0 - 0.35 * ramp(0.03, 0.0, high - ey))
            over(px, p.ink[IRIS, 0] * k, p.ink[IRIS, 1] * k, p.ink[IRIS, 2] * k, disc, PART_IRIS)
            over(px, 0.03, 0.025, 0.03, cover(d - 0.48 * radius, wf) * ball * alpha, PART_IRIS)
            gx, gy = ix * side - 0.36 * radius * p.catch_side, iy - 0.38 * radius
            glint = cover(length(gx, gy) - 0.27 * radius, wf)
            gx, gy = ix * side + 0.40 * radius * p.catch_side, iy + 0.42 * radius
            glint = max(glint, 0.45 * cover(length(gx, gy) - 0.15 * radius, wf))
            over(px, 1.0, 1.0, 1.0, glint * disc * 0.96, PART_IRIS)

    # Lashes: a line that swells outward and runs on past the corner; a faint one below.
    reach = 1.14 if shut < 0.7 else 1.05
    if -1.02 < q < reach:
        grow = half_lid * (0.72 + 0.42 * clip01(0.5 + 0.5 * q)) * ramp(reach, 0.86, q)
        top = high if q < 0.92 else mix(high, 0.016, ramp(0.92, 1.1, q))
        ends = ramp(-1.02, -0.90, q)
        over(
            px,
            p.ink[LINE, 0],
            p.ink[LINE, 1],
            p.ink[LINE, 2],
            stroke((ey - top) * slope, max(grow, 0.1 * wf), wf) * ends * alpha,
            PART_EYE,
        )
    if abs(q) < 1.0 and shut < 0.8:
        over(
            px,
            px.r * 0.55,
            px.g * 0.40,
            px.b * 0.38,
            0.75 * stroke((ey - low) * slope_low, max(0.0045, 0.25 * wf), wf) * alpha * ramp(1.0, 0.7, -q),
            PART_EYE,
        )


@pixelwise
def paint_brow(px, p, x, y, side, alpha, wf):
    ex = (x - side * p.eye_x) * side
    q = ex / (1.22 * p.eye_w)
    if abs(q) > 1.12 or abs(y - p.brow_y) > 0.14:
        return
    arch = p.brow_arch * (1.0 - (q - 0.25) ** 2) - p.brow_tilt * q
    raised = p.brow_skew * side
    half = max(p.brow_half * (1.0 - 0.62 * ramp(0.0, 1.1, q)), 0.36 * wf)
    ends = ramp(-1.12, -0.92, q) * ramp(1.12, 0.9, q)
    line = stroke((y - p.brow_y - arch - raised) * 0.95, half, max(wf, 0.006)) * ends
    hairs = 1.0 + 0.07 * math.sin(q * 42.0 + (y - p.brow_y) * 160.0) * ramp(0.03, 0.01, wf)
    over(px, p.ink[BROW, 0] * hairs, p.ink[BROW, 1] * hairs, p.ink[BROW, 2] * hairs, 0.93 * line * alpha, PART_BROW)


@pixelwise
def paint_nose(px, p, x, y, alpha, wf):
    """Nostrils and the creases of the wings; the rest of the nose is light on the height field."""
    nx, ny = x - p.nose_x, y - p.nose_y + 0.040
    if abs(nx) > 2.4 * p.nose_w or abs(ny) > 0.16:
        return
    hole = ellipse(abs(nx) - 0.50 * p.nose_w, ny + 0.10 * abs(nx), max(0.36 * p.nose_w, 0.4 * wf), max(0.011, 0.3 * wf))
    over(px, px.r * 0.46, px.g * 0.30, px.b * 0.28, 0.80 * cover(hole, max(wf, 0.007)) * alpha, PART_FACE)
    under = stroke(ny + 0.022 - 0.25 * abs(nx), 0.010, max(wf, 0.02)) * ramp(1.3, 0.4, abs(nx) / p.nose_w)
    over(px, px.r * 0.80, px.g * 0.66, px.b * 0.64, 0.55 * under * alpha, PART_FACE)
    d = abs(length(abs(nx) - 0.86 * p.nose_w, ny - 0.022) - 0.034)
    crease = stroke(d, max(0.004, 0.22 * wf), wf) * (1.0 if abs(nx) > 0.95 * p.nose_w else 0.0)
    over(px, px.r * 0.70, px.g * 0.54, px.b * 0.51, 0.60 * crease * ramp(-0.02, 0.01, ny) * alpha, PART_FACE)


@pixelwise
def paint_mouth(px, p, tone, x, y, alpha, wf):
    mx, my = x - p.mouth_x, y - p.mouth_y
    if abs(mx) > 1.4 * p.mouth_w or abs(my) > 0.30:
        return
    q = mx / p.mouth_w
    aq = abs(q)
    arc = 1.0 - q * q
    bend = 0.095 * p.smile * (q * q - 0.42) + 0.030 * p.smirk * q
    slope = 1.0 / math.sqrt(1.0 + (0.19 * p.smile * q / p.mouth_w) ** 2)
    full = arc if p.open < 0.05 else mix(arc, math.sqrt(max(arc, 0.0)), 0.5 + 0.5 * p.round)
    upper = bend + p.open * (0.030 + 0.030 * p.round) * full
    lower = bend - p.open * 0.135 * full
    bow = 1.0 - 0.30 * math.exp(-((q / 0.13) ** 2)) + 0.22 * math.exp(-(((aq - 0.26) / 0.2) ** 2))
    band = mix(arc, math.sqrt(max(arc, 0.0)), 0.6 * p.round)
    top = upper + p.lip_upper * band * bow
    bottom = lower - p.lip_lower * band * (1.0 + 0.25 * math.exp(-((q / 0.5) ** 2)))
    if aq < 1.0:
        lips = min(cover((my - top) * slope, wf), cover((bottom - my) * slope, wf)) * alpha
        below = clip01((lower - my) / (lower - bottom + 1e-6))
        light = 0.74 * p.light_y + 0.30 if my < lower else 0.42
        shine = p.lip_shine * math.exp(-(((below - 0.45) / 0.2) ** 2) - (q / 0.45) ** 2) if my < lower else 0.0
        paint(px, p, LIPS, clip01(light), shine, lips, PART_LIPS, tone)
    if p.open > 0.02 and aq < 1.0:
        hole = min(cover((my - upper) * slope, wf), cover((lower - my) * slope, wf)) * alpha
        over(px, p.ink[MOUTH, 0], p.ink[MOUTH, 1], p.ink[MOUTH, 2], hole, PART_MOUTH)
        tongue = cover(ellipse(mx, my - (bend - p.open * 0.135) + 0.010, 0.62 * p.mouth_w, 0.050 * p.open + 0.01), wf)
        over(px, p.ink[TONGUE, 0], p.ink[TONGUE, 1], p.ink[TONGUE, 2], hole * tongue, PART_MOUTH)
        edge = upper - p.teeth * (0.024 + 0.034 * p.open) * math.sqrt(max(arc, 0.0)) - 0.002
        row = cover((edge - my), wf) * hole * ramp(0.0, 0.25, p.teeth)
        gap = 1.0 - 0.10 * (1.0 - abs(math.sin(q * 9.0))) ** 6 - 0.22 * q * q
        over(px, p.ink[TEETH, 0] * gap, p.ink[TEETH, 1] * gap, p.ink[TEETH, 2] * gap, row, PART_MOUTH)
    # The line between the lips, a little past the corners.
    thin = max(0.0065, 0.36 * wf) * ramp(1.10, 0.78, aq)
    if aq < 1.1:
        line = stroke((my - upper) * slope, max(thin, 0.05 * wf), wf) * (1.0 - 0.55 * clip01(3.0 * p.open))
        over(px, p.ink[LIPS, 0] * 0.36, p.ink[LIPS, 1] * 0.24, p.ink[LIPS, 2] * 0.25, 0.92 * line * alpha, PART_LIPS)
    if p.smile > 0.2:
        side = length((aq - 1.10) * p.mouth_w / 0.018, (my - bend - 0.004) / 0.036)
        over(
            px,
            px.r * 0.72,
            px.g * 0.56,
            px.b * 0.54,
            0.45 * clip01(p.smile) * math.exp(-side * side) * alpha,
            PART_FACE,
        )
    under = math.exp(-(((my - bottom + 0.030) / 0.020) ** 2) - (q / 0.55) ** 2)
    if my < bottom:
        over(px, px.r * 0.80, px.g * 0.68, px.b * 0.67, 0.45 * under * alpha, PART_FACE)
