"""Hair and beard of one pixel: where they are, and how strands and curls take the light.

Head hair is a cap (an outline by angle, cut by a hairline across the face), a sheet that hangs from it
(left and right borders by height), and sticks: buns, puffs, tails and braids.
"""

import math

from .compiling import pixelwise
from .face import lamp
from .inks import BEARD, HAIR
from .shapes import (
    capsule,
    cell,
    clip01,
    cover,
    ellipse,
    length,
    mix,
    noise1,
    noise2,
    over,
    paint,
    ramp,
    smooth_max,
    smooth_min,
)
from .tables import ACROSS, BEARDLINE, HAIRLINE, lookup
from .vocabulary import PARTS

PART_HAIR, PART_BEARD = PARTS["hair"], PARTS["beard"]


@pixelwise
def sheet_border(p, v, side):
    """Outer border of the hanging hair at height `v`."""
    t = clip01((p.sheet_top - v) / (p.sheet_top + p.sheet_len))
    border = mix(p.sheet_wide, p.sheet_end, t * (1.6 - 0.6 * t))
    if p.wave > 0.0:
        border += p.wave * math.sin(v * p.wave_rate + side * 0.9 + 1.3) * ramp(0.0, 0.35, t)
    return border


@pixelwise
def sheet(p, u, v):
    """Distance to the hanging hair as a whole."""
    side = 1.0 if u > 0.0 else -1.0
    end = -p.sheet_len + p.sheet_ragged * noise1(u * 16.0, p.seed + 3) + 0.10 * p.sheet_round * u * u
    d = smooth_max(abs(u) - sheet_border(p, v, side), end - v, 0.10)
    return max(d, v - p.sheet_top)


@pixelwise
def back_hair(p, u, v, sd_outline):
    """Distance to the hair behind neck and ears."""
    d = smooth_max(sd_outline, p.cap_bottom - v, 0.10)
    if p.sheet_len > 0.0:
        d = smooth_min(d, sheet(p, u, v), 0.06)
    return d


@pixelwise
def front_hair(p, u, v, x, y, sd_outline):
    """Distance to the hair before the face: cap, sides and locks. `hairline`: (n,) height across the face."""
    n = ACROSS
    place = (x / p.head_w + 1.5) / 3.0 * (n - 1)
    height = lookup(p, HAIRLINE, place)
    rise = (lookup(p, HAIRLINE, place + 1.0) - height) * (n - 1) / (3.0 * p.head_w)
    ragged = p.fringe_ragged * (noise1(x * 22.0, p.seed) + 0.5 * noise1(x * 47.0, p.seed + 1))
    # A steep table stretches the distance; the limit keeps its error below what the edge shows.
    d = (height + ragged - y) / math.sqrt(1.0 + min(rise * rise, 6.0))
    ax = abs(x)
    if p.side_x < 1.4:
        d_side = p.side_x - 0.05 * clip01(y / p.head_h + 0.2) * p.head_w + 0.7 * ragged - ax
        # The lower end slants like a sideburn.
        d_side = smooth_max(d_side, p.side_y - y - 0.35 * (ax - p.side_x) + ragged, 0.05)
        d_side = smooth_max(d_side, y - 0.62 * p.head_h, 0.16)
        d = smooth_min(d, d_side, 0.09)
    if p.crest > 0.0:
        d = smooth_max(d, ax - p.crest * (1.0 - 0.25 * clip01(-y)), 0.03)
    d = smooth_max(d, sd_outline, 0.012)
    d = max(d, p.cap_bottom - v)
    if p.locks > 0.0:
        side = 1.0 if u > 0.0 else -1.0
        inner = p.lock_right if u > 0.0 else p.lock_left
        below = clip01((-0.25 * p.head_h - v) / (1.2 * p.head_h))
        inner += p.lock_open * below * below + 0.6 * p.wave * math.sin(v * p.wave_rate + side * 0.9 + 0.9) * below
        inner += (0.006 + 0.6 * p.rough) * noise1(v * (18.0 if p.curly < 0.5 else 12.0), p.seed + 9)
        d_lock = max(max(sheet(p, u, v), inner - abs(u)), v - 0.55 * p.head_h)
        d = smooth_min(d, d_lock, 0.05)
    return d


@pixelwise
def strands(p, s, t, w):
    """Light and dark of single strands, about -1..1. s: across, one lock a unit; t: along, 0..1."""
    # Each octave fades as it nears the pixel: `w` is the pixel's width in locks.
    bend = 0.35 * noise1(t * 5.0, p.seed + 20)
    tone = 0.55 * noise2(s + bend, t * 1.6, p.seed + 21) * ramp(1.4, 0.5, w)
    if w < 0.6:
        tone += 0.50 * noise2(2.7 * (s + bend), t * 2.3, p.seed + 22) * ramp(0.55, 0.2, w)
    if w < 0.24:
        tone += 0.34 * noise2(7.3 * (s + bend), t * 3.1, p.seed + 23) * ramp(0.24, 0.07, w)
    return tone


@pixelwise
def curls(p, u, v, w):
    """Coils: light and dark about -1..1, and the slope of the coil's bulge in u and v."""
    f = p.curl_rate
    a = u * f + 0.5 * noise2(u * f * 0.8, v * f * 0.8, p.seed + 30)
    b = 0.86 * v * f + 0.5 * noise2(u * f * 0.8 + 9.0, v * f * 0.8, p.seed + 31)
    bx, by, d, own = cell(a, b, p.seed + 32)
    fade = ramp(0.9, 0.35, w * f)
    coil = 0.0
    if w * f < 0.55:
        turn = math.atan2(by, bx) * (1.0 if own > 0.5 else -1.0)
        coil = math.sin(turn + d * 10.5 + own * 6.28) * ramp(0.55, 0.22, w * f) * ramp(0.05, 0.2, d)
    return (0.50 * coil + 0.34 - 1.05 * d * d + 0.20 * (own - 0.5)) * fade, bx * fade, by * fade


@pixelwise
def paint_hair(px, p, tone, row, part, u, v, nx, ny, s, t, gloss, shade, alpha, w, lock_w):
    """One pixel of hair.

    nx, ny: the surface's normal; s, t: across and along the strands; gloss: 0..1, how near the bright band
    is; shade: share of the light taken away.
    """
    if alpha <= 0.0:
        return
    if p.curly > 0.5:
        grain, bx, by = curls(p, u, v, w)
        nx, ny = nx * 0.80 + 0.50 * bx, ny * 0.80 + 0.50 * by
        gloss *= 0.35
    else:
        grain = strands(p, s, t, lock_w)
    flat = clip01(1.0 - nx * nx - ny * ny)
    light = lamp(p, nx, ny, math.sqrt(flat))
    light = clip01((0.12 + 0.88 * light) * (1.0 + p.grain_depth * grain)) * (1.0 - shade)
    glossy = p.hair_shine * gloss * clip01(0.55 + 0.9 * grain) * (0.35 + 0.65 * light)
    paint(px, p, row, light, glossy, alpha, part, tone)


@pixelwise
def paint_cap(px, p, tone, u, v, x, y, r, depth, d, shade, w):
    """The hair before the face, strands running out from the parting or down the locks."""
    # Coils thin out towards the skin; a hard edge would look like a wig's.
    alpha = cover(d - 0.006 * p.curly, max(w, 0.028 * p.curly))
    if alpha <= 0.0:
        return
    k = 0.88 * min(depth, 1.0) ** 2
    nx, ny = k * u / (r + 1e-9), k * v / (r + 1e-9)
    # Rounded edge along the hairline, so that the cap stands off the skin.
    lip = ramp(-0.045, 0.0, d)
    ny -= 0.42 * lip * (1.0 if v > -0.3 * p.head_h else 0.3)
    px_x, px_y = x - p.part_x, y - p.part_y
    hang = ramp(0.18, -0.25, v / p.head_h) * (1.0 if p.sheet_len > 0.0 else 0.0)
    across = length(px_x, px_y)
    turn = math.atan2(px_x, -px_y + 0.12)
    side = 1.0 if u > 0.0 else -1.0
    s_cap = turn * p.lock_rate
    lock_w = w * p.lock_rate / (across + 0.10)
    s, t = s_cap, across * 1.2
    if hang > 0.0:
        border = max(sheet_border(p, v, side), 0.1)
        s_hang = u / border * 1.35 * p.lock_rate
        s, t = mix(s_cap, s_hang, hang), mix(t, -v * 1.1, hang)
        lock_w = mix(lock_w, w * 1.35 * p.lock_rate / border, hang)
    band = (v - p.gloss_y - 0.10 * (1.0 - (u / (p.head_w * 1.2)) ** 2)) / 0.11
    gloss = math.exp(-band * band)
    if p.sheet_len > 0.0:
        low = (v + 0.62 * p.head_h + 0.10 * noise1(s * 0.8, p.seed + 5)) / 0.12
        gloss = max(gloss, 0.6 * math.exp(-low * low))
    # A parting is a dark valley.
    if p.part_line > 0.0 and y > p.part_y - 0.42 * p.head_h:
        valley = math.exp(-(((x - p.part_x) / max(0.012, 0.6 * w)) ** 2)) * ramp(
            p.part_y - 0.42 * p.head_h, p.part_y, y
        )
        shade = max(shade, 0.45 * valley * p.part_line)
    paint_hair(
        px, p, tone, HAIR, PART_HAIR, u, v, nx, ny, s, t, gloss, shade + 0.10 * lip, alpha * p.cap_alpha, w, lock_w
    )


@pixelwise
def paint_back(px, p, tone, u, v, r, d, w):
    alpha = cover(d, w)
    if alpha <= 0.0:
        return
    side = 1.0 if u > 0.0 else -1.0
    border = max(sheet_border(p, v, side), 0.1) if p.sheet_len > 0.0 else p.head_w * 1.1
    edge = ramp(-0.14, 0.0, d)
    nx, ny = 0.72 * edge * u / (r + 1e-9), 0.55 * edge * v / (r + 1e-9)
    inner = 0.42 * ramp(1.02, 0.72, abs(u) / p.head_w) * ramp(0.2, -0.3, v / p.head_h) + 0.10
    s = u / border * 1.35 * p.lock_rate
    paint_hair(px, p, tone, HAIR, PART_HAIR, u, v, nx, ny, s, -v, 0.0, inner, alpha, w, w * 1.35 * p.lock_rate / border)


@pixelwise
def paint_stick(px, p, tone, u, v, ax, ay, bx, by, ra, rb, braid, w):
    """A tail, bun or puff: a tapered stick, with plaits when `braid` is set."""
    d, t = capsule(u, v, ax, ay, bx, by, ra, rb)
    if d > 0.09 + w:
        return
    span = length(bx - ax, by - ay)
    dx, dy = (bx - ax) / (span + 1e-9), (by - ay) / (span + 1e-9)
    across = (u - ax) * -dy + (v - ay) * dx
    shade = 0.0
    if braid > 0.0:
        beat = t * span / (1.15 * ra)
        beat -= math.floor(beat)
        d += 0.26 * ra * (2.0 * beat - 1.0) ** 2 - 0.05 * ra
        shade = 0.55 * ramp(0.22, 0.0, min(beat, 1.0 - beat)) + 0.35 * ramp(0.012, 0.0, abs(across) - 0.002) * ramp(
            0.3, 0.5, beat
        )
    if p.rough > 0.0:
        d += 1.2 * p.rough * noise2(u * p.rough_rate, v * p.rough_rate, p.seed + 40)
    alpha = cover(d, w)
    if alpha <= 0.0:
        return
    radius = mix(ra, rb, t)
    if span < 0.02:
        nx, ny = (u - ax) / radius * 0.85, (v - ay) / radius * 0.85
        s, along = math.atan2(u - ax, v - ay + 0.3 * radius) * 4.0, (v - ay) / radius
    else:
        k = max(-0.92, min(0.92, across / (radius + 1e-9)))
        nx, ny = -dy * k, dx * k
        s, along = across / (radius + 1e-9) * 2.6 + (0.9 * math.sin(t * 9.0) if p.wave > 0.0 else 0.0), t
        if braid > 0.0:
            s += 1.5 * abs(across) / radius * beat
    gloss = 0.7 * math.exp(-(((along - 0.25) / 0.16) ** 2))
    paint_hair(px, p, tone, HAIR, PART_HAIR, u, v, nx, ny, s, along, gloss, shade, alpha, w, 2.6 * w / radius)


@pixelwise
def paint_sticks(px, p, tone, u, v, w, front):
    """The sticks before the head (`front` 1) or behind it (0), as `layout` lists them."""
    for i in range(p.stick_count):
        if p.sticks[i, 7] == front:
            paint_stick(
                px,
                p,
                tone,
                u,
                v,
                p.sticks[i, 0],
                p.sticks[i, 1],
                p.sticks[i, 2],
                p.sticks[i, 3],
                p.sticks[i, 4],
                p.sticks[i, 5],
                p.sticks[i, 6],
                w,
            )


@pixelwise
def paint_beard(px, p, tone, u, v, x, y, r, sd_beard, w, wf):
    """Stubble, goatee or beard, and the moustache."""
    n = ACROSS
    place = (x / p.head_w + 1.5) / 3.0 * (n - 1)
    height = lookup(p, BEARDLINE, place)
    rise = (lookup(p, BEARDLINE, place + 1.0) - height) * (n - 1) / (3.0 * p.head_w)
    d = 9.0
    ragged = 0.008 * noise1(x * 40.0, p.seed + 50)
    if p.beard_full > 0.0:
        d = (y - height - ragged) / math.sqrt(1.0 + min(rise * rise, 4.0))
        # Only below the ears: beyond them the face coordinate no longer tells up from back.
        d = smooth_max(d, sd_beard, 0.02)
        d = max(d, v - 0.30 * p.head_h)
    elif p.beard_chin > 0.0:
        d = ellipse(x, y + 0.84 * p.head_h, 0.62 * p.mouth_w + 0.05, 0.20 * p.head_h)
        d = smooth_max(d + ragged, sd_beard, 0.02)
        d = max(d, y - p.mouth_y + p.lip_lower + 0.012)
    if p.moustache > 0.0:
        q = abs(x - 0.6 * p.mouth_x) / (1.06 * p.mouth_w)
        top = p.nose_y - 0.052 - 0.012 * q - 0.052 * q * q * q
        bottom = p.mouth_y + p.lip_upper * 0.9 + p.open * 0.02 - 0.050 * q * q
        tash = max(max(y - top, bottom - y), (q - 1.0) * 0.10)
        d = smooth_min(d, tash + 0.6 * ragged, 0.03)
    if d > w:
        return
    alpha = cover(d, wf * 1.3)
    if p.beard_soft > 0.0:
        speck = 0.62 + 0.38 * noise2(x * 95.0, y * 95.0, p.seed + 51) * ramp(0.03, 0.01, w)
        over(px, p.ink[BEARD, 0], p.ink[BEARD, 1], p.ink[BEARD, 2], 0.52 * speck * ramp(0.03, -0.07, d), PART_BEARD)
        if d < -0.01:
            px.part = PART_BEARD
        return
    if p.curly > 0.5:
        grain, _, _ = curls(p, u, v, w)
    else:
        turn = math.atan2(x, 0.35 - y)
        grain = strands(p, turn * 17.0, length(x, y), w * 24.0)
    k = 0.80 * ramp(-0.10, 0.0, sd_beard) if p.beard_full > 0.0 else 0.2
    nx, ny = k * u / (r + 1e-9), k * v / (r + 1e-9)
    light = clip01(lamp(p, nx, ny + 0.10, math.sqrt(1.0 - k * k)) * (1.0 + 0.50 * grain))
    light *= 1.0 - 0.30 * ramp(-0.02, 0.0, d)
    paint(px, p, BEARD, light, 0.08 * p.hair_shine * clip01(grain), alpha, PART_BEARD, tone)
