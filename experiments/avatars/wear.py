"""Glasses, earrings and hats of one pixel. Frames of reference as in `face.py`."""

import math

from .compiling import pixelwise
from .face import lamp
from .inks import EARRING, FRAME, HAT, HAT_BAND, LENS
from .shapes import (
    box,
    capsule,
    clip01,
    cover,
    ellipse,
    length,
    noise2,
    over,
    paint,
    ramp,
    smooth_max,
    smooth_min,
    stroke,
)
from .vocabulary import PARTS

PART_FRAME, PART_CLEAR, PART_TINTED = PARTS["frame"], PARTS["clear lens"], PARTS["tinted lens"]
PART_HAT, PART_EARRING = PARTS["hat"], PARTS["earring"]

ROUND, SQUARE, CAT_EYE = 1, 2, 3
BEANIE, BOBBLE, BRIMMED, CAP, BERET, BUCKET = 1, 2, 3, 4, 5, 6


@pixelwise
def lens(p, gx, gy):
    """Distance to one lens; gx grows outward from its middle."""
    if p.glasses == ROUND:
        return length(gx, gy) - p.lens_w
    if p.glasses == SQUARE:
        return box(gx, gy - 0.10 * gx * 0.4, p.lens_w * 1.06, p.lens_w * 0.74, 0.042)
    lift = 0.16 * gx + 0.55 * max(gx - 0.35 * p.lens_w, 0.0)
    return 0.92 * box(gx, gy - lift * 0.55, p.lens_w * 1.10, p.lens_w * (0.66 + 0.10 * gx / p.lens_w), 0.052)


@pixelwise
def paint_arms(px, p, tone, x, y, v, alpha, w, wf):
    """The arms of the glasses, from the lenses back to the ears."""
    ax = abs(x)
    start = p.glass_x + p.lens_w
    if ax < start or y > p.glass_y + 0.2 or y < p.glass_y - 0.2:
        return
    half = max(0.012, 0.35 * wf)
    line = stroke(y - p.glass_y - 0.030 + 0.05 * (ax - start), half, wf)
    paint(px, p, FRAME, 0.5, 0.0, line * alpha, PART_FRAME, tone)


@pixelwise
def paint_glasses(px, p, tone, x, y, alpha, w, wf):
    # The front stands before the face, so it moves further than the eyes when the head turns.
    x, y = x - p.glass_shift_x, y - p.glass_y - p.glass_shift_y
    ax = abs(x)
    gx = ax - p.glass_x
    if abs(y) > 1.6 * p.lens_w + w or gx > 1.5 * p.lens_w + w:
        return
    d = lens(p, gx, y)
    half = max(p.frame_half, 0.40 * wf)
    glass = cover(d, wf) * alpha
    if glass > 0.0:
        side = 1.0 if x > 0.0 else -1.0
        streak = (gx * side + 0.62 * y) / p.lens_w
        flash = cover(abs(streak + 0.30) - 0.16, 0.04 + wf / p.lens_w) + cover(
            abs(streak + 0.66) - 0.05, 0.04 + wf / p.lens_w
        )
        flash *= ramp(0.075, 0.02, wf)
        if p.tinted > 0.0:
            k = 0.78 + 0.55 * ramp(0.7, -1.0, y / p.lens_w)
            over(px, p.ink[LENS, 0] * k, p.ink[LENS, 1] * k, p.ink[LENS, 2] * k, 0.92 * glass, PART_TINTED)
            over(px, 1.0, 1.0, 1.0, 0.17 * flash * glass, PART_TINTED)
        else:
            over(px, 0.90, 0.96, 1.0, (0.05 + 0.20 * flash) * glass, PART_CLEAR)
            if glass > 0.5:
                px.part = PART_CLEAR
    # Shadow of the frame on the skin, then bridge and rims.
    drop = stroke(lens(p, gx, y + 0.020), half, max(wf, 0.02)) * (1.0 - glass)
    over(px, px.r * 0.60, px.g * 0.48, px.b * 0.48, 0.40 * drop * alpha, px.part)
    rim = stroke(d - 0.3 * half, half, wf)
    span = p.glass_x - p.lens_w
    if ax < span + half:
        arch = 0.35 * p.lens_w + 0.035 * (1.0 - (ax / (span + 1e-6)) ** 2) - 0.02
        rim = max(rim, stroke(y - arch, half, wf))
    if p.glasses != ROUND:
        rim = max(rim, cover(abs(gx - 1.06 * p.lens_w) - 0.022, wf) * cover(abs(y - 0.42 * p.lens_w) - 0.024, wf))
    if rim > 0.0:
        turn = clip01(0.5 - 6.0 * d) * 0.5 + 0.25
        lit = clip01(0.45 + 0.45 * y / p.lens_w * (1.0 if turn > 0.4 else 0.8))
        paint(px, p, FRAME, lit, 0.30 * ramp(0.3, 0.9, y / p.lens_w), rim * alpha, PART_FRAME, tone)


@pixelwise
def paint_earring(px, p, tone, u, v, side, w):
    """One earring; it hangs straight down in the picture's frame of the head."""
    x = u - (p.ring_right if side > 0.0 else p.ring_left)
    y = v - p.ring_y
    if abs(x) > 0.16 or y > 0.08 or y < -0.26:
        return
    if p.earrings == 1:
        d = length(x, y) - max(0.024, 0.75 * w)
        a = cover(d, w)
        light = clip01(0.55 + 14.0 * (y + x * p.light_x))
    elif p.earrings == 2:
        radius = max(0.072, 1.6 * w)
        ring = length(x, y + radius)
        a = stroke(ring - radius, max(0.0125, 0.42 * w), w)
        light = clip01(0.50 + 0.5 * (y + radius) / radius + 0.3 * math.sin(ring * 400.0))
    else:
        long = max(0.115, 2.2 * w)
        stem, _ = capsule(x, y, 0.0, 0.0, 0.0, -long, 0.007, 0.007)
        wide = max(0.030, 0.85 * w)
        drop = ellipse(x, y + long + 0.03, wide * (1.0 - 0.9 * (y + long + 0.03)), max(0.048, 1.1 * w))
        a = max(cover(drop, w), stroke(stem + 0.007, max(0.006, 0.3 * w), w))
        light = clip01(0.60 + 9.0 * (y + long + 0.03) + 8.0 * x * p.light_x)
    paint(px, p, EARRING, light, 0.55 * ramp(0.72, 1.0, light), a, PART_EARRING, tone)


@pixelwise
def rim_height(p, x):
    """Height of a hat's lower edge over the face; it follows the head round."""
    q = x / p.head_w
    return (
        p.hat_y - 0.085 * p.head_h * (1.0 - math.sqrt(max(0.0, 1.0 - 0.72 * min(q * q, 1.3)))) * 2.0 + p.rim_dip * q * q
    )


@pixelwise
def brim_shape(p, u, v):
    """Distance to the brim of a brimmed hat or bucket hat and the place across it, -1 front .. 1 back."""
    x = u - p.brim_x
    y = v - p.brim_y
    bend = p.brim_bend * (x / p.brim_w) ** 2
    return ellipse(x, y + bend, p.brim_w, p.brim_h), (y + bend) / p.brim_h


@pixelwise
def visor_shape(p, x, y):
    """Distance to a cap's visor in face coordinates, and the place down it 0..1."""
    q = (x - 0.8 * p.nose_x) / (0.90 * p.head_w)
    arc = math.sqrt(max(0.0, 1.0 - q * q))
    top = rim_height(p, x) + 0.055 * arc
    down = 0.30 * p.head_h * arc + 0.004
    d = (abs(q) - 1.0) * 0.90 * p.head_w
    return max(max(y - top, top - down - y), d), clip01((top - y) / (down + 1e-6))


@pixelwise
def hat_shape(p, u, v, x, y, sd_hat):
    """Distance to the whole hat; also used for the shadow it casts."""
    rim = rim_height(p, x) - y
    if p.hat == BERET:
        puff = ellipse(
            u - 0.16 * p.head_w - 0.10 * (v - p.hat_y), v - p.hat_y - 0.30 * p.head_h, 1.28 * p.head_w, 0.42 * p.head_h
        )
        band = smooth_max(sd_hat + 0.035, rim, 0.02)
        band = max(band, v - p.hat_y - 0.45 * p.head_h)
        return smooth_min(max(puff, rim - 0.02), band, 0.03)
    d = smooth_max(sd_hat, rim, 0.015)
    if p.hat == BRIMMED or p.hat == BUCKET:
        brim, _ = brim_shape(p, u, v)
        if p.hat == BUCKET:
            brim = max(brim, rim_height(p, u) - 0.24 * p.head_h - v)
        d = smooth_min(d, brim, 0.01)
    elif p.hat == CAP:
        visor, _ = visor_shape(p, x, y)
        d = min(d, visor)
    return d


@pixelwise
def paint_hat(px, p, tone, u, v, x, y, r, depth, sd_hat, d, w, wf):
    alpha = cover(d, w)
    if alpha <= 0.0:
        return
    k = 0.90 * min(depth, 1.0) ** 2
    nx, ny = k * u / (r + 1e-9), k * v / (r + 1e-9)
    rim = rim_height(p, x)
    up = y - rim
    row, shine, shade = HAT, 0.0, 0.0
    weave = 0.05 * noise2(u * 60.0, v * 60.0, p.seed + 60) * ramp(0.03, 0.012, w)
    if p.hat == BEANIE or p.hat == BOBBLE:
        cuff = 0.30 * p.head_h
        ribs = math.cos(x / math.sqrt(max(0.08, 1.15 - (x / (1.25 * p.head_w)) ** 2)) * 52.0)
        weave += 0.20 * ribs * ramp(0.055, 0.02, w) * (1.0 if up < cuff else 0.55)
        if up < cuff:
            row = HAT_BAND
            ny += 0.5 * (up / cuff - 0.5)
            shade = 0.25 * ramp(0.03, 0.0, up)
        else:
            shade = 0.45 * ramp(0.06, 0.0, up - cuff)
    elif p.hat == BERET:
        gx, gy = (u - 0.16 * p.head_w) / (1.28 * p.head_w), (v - p.hat_y - 0.30 * p.head_h) / (0.42 * p.head_h)
        nx, ny = 0.55 * gx, 0.75 * gy
        weave += 0.06 * noise2(u * 9.0, v * 9.0, p.seed + 61)
        if up < 0.085:
            row, shade = HAT_BAND, 0.1
        else:
            shade = 0.35 * ramp(0.15, 0.08, up)
    elif p.hat == CAP:
        seam = abs(abs(x - 0.5 * p.nose_x) - 0.40 * p.head_w * math.sqrt(max(0.0, 1.0 - (up / (0.95 * p.head_h)) ** 2)))
        shade = 0.28 * stroke(seam, max(0.004, 0.25 * wf), wf) + 0.28 * stroke(
            x - 0.5 * p.nose_x, max(0.004, 0.25 * wf), wf
        )
        shade += 0.35 * ramp(0.05, 0.0, up)
        button = length(u - p.bobble_x, v - p.bobble_y + 0.13) - 0.035
        shade -= 0.25 * cover(button, w)
        visor, down = visor_shape(p, x, y)
        if visor < 0.0:
            row, shade = HAT_BAND, 0.05
            nx, ny = 0.35 * x / p.head_w, 0.85 - 0.70 * down
            shine = 0.14 * math.exp(-(((down - 0.35) / 0.16) ** 2))
            # The seam to the crown, a row of stitches, and the dark underside.
            shade += 0.40 * ramp(0.12, 0.0, down) + 0.55 * ramp(0.84, 0.92, down)
            shade += 0.16 * stroke((down - 0.70) * 0.3 * p.head_h, 0.003, w) * ramp(0.03, 0.012, w)
    else:
        brim, across = brim_shape(p, u, v)
        crown = smooth_max(sd_hat, rim - y, 0.015)
        front = crown > 0.0 or up < 0.02
        if p.hat == BUCKET:
            weave += 0.05 * math.cos(up * 150.0) * ramp(0.03, 0.015, w)
            if front and brim < 0.0:
                nx, ny, shade = 0.5 * u / p.brim_w, 0.45, 0.08
            else:
                shade = 0.35 * ramp(0.05, 0.0, up)
        elif front and brim < 0.0:
            nx, ny = 0.45 * (u - p.brim_x) / p.brim_w, 0.70 + 0.25 * across
            shade = 0.25 * ramp(-0.02, 0.0, brim) + 0.28 * ramp(-0.2, -0.9, across)
            shine = 0.08 * ramp(0.1, -0.3, across) * ramp(-0.9, -0.3, across)
        else:
            if up < 0.20 * p.head_h:
                row, shade = HAT_BAND, 0.15 + 0.3 * ramp(0.05, 0.0, up)
            dent = math.exp(-(((x - 0.5 * p.nose_x) / 0.10) ** 2)) * ramp(0.35 * p.head_h, 0.75 * p.head_h, up)
            shade += 0.22 * dent
    light = clip01(lamp(p, nx, ny, math.sqrt(clip01(1.0 - nx * nx - ny * ny))) * (1.0 + weave)) * (1.0 - clip01(shade))
    paint(px, p, row, light, shine, alpha, PART_HAT, tone)


@pixelwise
def paint_bobble(px, p, tone, u, v, w):
    gx, gy = u - p.bobble_x, v - p.bobble_y
    d = length(gx, gy)
    if d > 0.17 + w:
        return
    turn = math.atan2(gy, gx)
    fluff = 0.018 * noise2(turn * 6.0, d * 20.0, p.seed + 62)
    tuft = 0.5 + 0.5 * noise2(gx * 42.0, gy * 42.0, p.seed + 63) * ramp(0.06, 0.02, w)
    k = min(d / 0.13, 0.95)
    light = clip01(lamp(p, gx / 0.135 * k, gy / 0.135 * k, math.sqrt(1.0 - k * k)) * (0.62 + 0.6 * tuft))
    paint(px, p, HAT_BAND, light, 0.0, cover(d - 0.125 - fluff, w), PART_HAT, tone)
