"""Background, neck and clothes of one pixel; (X, Y) in half-frames of the picture, y up."""

import math

from .compiling import pixelwise
from .face import lamp
from .inks import CLOTH, CLOTH_2, GROUND, GROUND_2, SKIN
from .shapes import (
    bump,
    clip01,
    cover,
    ellipse,
    hash01,
    length,
    mix,
    noise1,
    noise2,
    over,
    paint,
    ramp,
    smooth_min,
    stroke,
)
from .vocabulary import PARTS

PART_BACKGROUND, PART_CLOTHES, PART_NECK = PARTS["background"], PARTS["clothes"], PARTS["neck"]

PLAIN, DISC, STRIPES, DOTS, HILLS, BOKEH, WINDOW, RAYS = range(8)
CREW, V_NECK, TURTLENECK, COLLAR, HOODIE, SCOOP, BLAZER = range(7)
PLAIN_CLOTH, STRIPED, PLAID, KNIT, DOTTED = range(5)


@pixelwise
def paint_background(px, p, x, y, w):
    """The wall behind the person, lit from the lamp's side, with the person's soft shadow."""
    r, g, b = p.ink[GROUND, 0], p.ink[GROUND, 1], p.ink[GROUND, 2]
    t = 0.0
    kind = p.background
    if kind == DISC:
        t = cover(length(x, y - 0.12) - 0.88, w)
    elif kind == STRIPES:
        s = (x + y) * 3.6
        t = cover((abs(s - math.floor(s) - 0.5) - 0.25) / 5.1, w)
    elif kind == DOTS:
        s, q = x * 4.6, y * 4.6
        q_row = math.floor(q)
        s += 0.5 * (q_row & 1)
        t = cover((length(s - math.floor(s) - 0.5, q - q_row - 0.5) - 0.20) / 4.6, w)
    elif kind == HILLS:
        far = y + 0.02 - 0.10 * math.sin(2.1 * x + p.grain_phase) - 0.06 * math.sin(4.6 * x + 2.0 * p.grain_phase)
        near = y + 0.36 - 0.13 * math.sin(1.7 * x + 1.9 * p.grain_phase + 2.0)
        t = 0.50 * cover(far, w) + 0.50 * cover(near, w)
        t *= 0.85 + 0.15 * ramp(0.4, -0.8, y)
    elif kind == BOKEH:
        for i in range(9):
            cx, cy = 2.2 * hash01(i, 1, p.seed) - 1.1, 2.2 * hash01(i, 2, p.seed) - 1.1
            radius = 0.10 + 0.22 * hash01(i, 3, p.seed)
            d = length(x - cx, y - cy) - radius
            t += 0.34 * cover(d, 0.03 + w) * (0.65 + 0.35 * ramp(-radius, 0.0, d))
        t = clip01(t)
    elif kind == WINDOW:
        s, q = x * 0.94 + 0.34 * y + 0.15, y * 0.98 - 0.10 * x - 0.18
        pane = max(abs(s) - 0.80, abs(q) - 0.66)
        bars = min(abs(s) - 0.035, abs(q) - 0.035)
        t = 0.75 * cover(pane, 0.05) * (1.0 - cover(bars, 0.04))
    elif kind == RAYS:
        s = math.atan2(x, y + 0.95) * 7.6
        reach = length(x, y + 0.95)
        t = cover((abs(s - math.floor(s) - 0.5) - 0.25) * reach / 7.6, w) * 0.85
    r, g, b = mix(r, p.ink[GROUND_2, 0], t), mix(g, p.ink[GROUND_2, 1], t), mix(b, p.ink[GROUND_2, 2], t)
    glow = 1.03 + 0.10 * (0.6 * y + 0.8 * x * p.light_x) - 0.05 * (x * x + y * y)
    # A soft shadow away from the lamp sets the person off from the wall.
    sx, sy = x - p.head_x + 0.16 * p.light_x, y - p.head_y + 0.02
    halo = math.sqrt((sx / 0.74) ** 2 + (sy / 0.86) ** 2)
    glow *= 1.0 - 0.17 * ramp(1.25, 0.55, halo)
    px.r, px.g, px.b, px.part = r * glow, g * glow, b * glow, PART_BACKGROUND


@pixelwise
def neck_middle(p, y):
    return p.neck_top_x * clip01((y - p.shoulder_y) / (p.chin_y - p.shoulder_y + 0.05))


@pixelwise
def shoulder_line(p, x):
    """Height of the shoulders; the rise at the neck is the trapezius."""
    ax = abs(x)
    slope = 0.17 * math.exp(-((ax / (1.55 * p.neck_w)) ** 2))
    return p.shoulder_y + slope - 0.42 * (ax / p.shoulder_w) ** 2.6


@pixelwise
def paint_neck(px, p, tone, x, y, sd_chin, w):
    """Neck and upper chest; `sd_chin` is the distance to the face's outline as its shadow falls."""
    if y > p.chin_y + 0.22:
        return
    mx = x - neck_middle(p, y)
    flare = 0.05 * ramp(p.shoulder_y + 0.20, p.shoulder_y - 0.02, y)
    column = abs(mx) - p.neck_w - flare
    chest = y - shoulder_line(p, x) + 0.01
    d = smooth_min(column, chest * 0.8, 0.06)
    alpha = cover(d, w)
    if alpha <= 0.0:
        return
    q = max(-1.0, min(1.0, mx / (p.neck_w + 0.05)))
    k = 0.80 * q * abs(q)
    nx, ny, nz = k, 0.02, math.sqrt(1.0 - k * k)
    # Tendons and collar bones.
    cord = abs(mx) - 0.34 * p.neck_w * ramp(p.shoulder_y - 0.05, p.chin_y, y) - 0.02
    nx += 0.22 * math.exp(-((cord / 0.035) ** 2)) * (1.0 if mx > 0.0 else -1.0) * ramp(p.chin_y, p.shoulder_y, y)
    bone = y - p.shoulder_y + 0.07 - 0.12 * abs(mx)
    ny -= 0.55 * (bone / 0.03) * math.exp(-((bone / 0.03) ** 2)) * ramp(0.03, 0.10, abs(mx))
    light = lamp(p, nx, ny, nz)
    light *= 1.0 - 0.62 * ramp(0.16, -0.06, sd_chin)
    paint(px, p, SKIN, light, 0.0, alpha, PART_NECK, tone)


@pixelwise
def neck_hole(p, x, y):
    """Distance to the opening of the clothes (negative: skin or shirt shows)."""
    ax = abs(x)
    top = y - p.shoulder_y
    if p.neckline == V_NECK:
        d = (ax - (p.neck_w + 0.015) * clip01(1.0 + (top - 0.10) / 0.34)) * 0.8
        return max(d, -top - 0.24)
    if p.neckline == SCOOP:
        return ellipse(x, top - 0.13, 1.55 * p.neck_w, 0.31)
    if p.neckline == BLAZER:
        return max((ax - 0.155 * clip01(1.0 + (top - 0.10) / 0.55)) * 0.9, -top - 0.5)
    if p.neckline == COLLAR:
        return max((ax - 0.80 * p.neck_w * clip01(1.0 + (top - 0.08) / 0.24)) * 0.8, -top - 0.2)
    return ellipse(x, top - 0.10, 1.18 * p.neck_w, 0.165)


@pixelwise
def weave(p, x, y, fall, w):
    """Share 0..1 of the second colour and the light and dark of the pattern."""
    kind = p.pattern
    if kind == STRIPED:
        s = (fall + 0.10 * x * x) * 7.5
        return cover((abs(s - math.floor(s) - 0.5) - 0.24) / 7.5, w), 0.0
    if kind == PLAID:
        s, q = x * 5.6 + 0.25, y * 5.6
        a = cover((abs(s - math.floor(s) - 0.5) - 0.18) / 5.6, w)
        b = cover((abs(q - math.floor(q) - 0.5) - 0.18) / 5.6, w)
        return 0.42 * (a + b), 0.0
    if kind == KNIT:
        s, q = x * 15.0, y * 15.0
        leg = abs(s - math.floor(s) - 0.5)
        q = q + 1.3 * leg
        rib = abs(q - math.floor(q) - 0.5)
        fade = ramp(0.075, 0.03, w)
        return 0.0, fade * (0.36 * (rib - 0.25) * 2.0 - 0.16 * ramp(0.42, 0.5, leg) - 0.14 * ramp(0.10, 0.0, leg))
    if kind == DOTTED:
        s, q = x * 7.0, y * 7.0
        row = math.floor(q)
        s += 0.5 * (row & 1)
        return cover((length(s - math.floor(s) - 0.5, q - row - 0.5) - 0.2) / 7.0, w), 0.0
    return 0.0, 0.05 * noise2(x * 55.0, y * 55.0, p.seed + 71) * ramp(0.035, 0.015, w)


@pixelwise
def paint_clothes(px, p, tone, x, y, sd_chin, w):
    if y > p.shoulder_y + 0.34:
        return
    ax = abs(x)
    line = shoulder_line(p, x)
    steep = 1.0 / math.sqrt(1.0 + (1.1 * (ax / p.shoulder_w) ** 1.6 / p.shoulder_w) ** 2)
    body = (y - line - 0.012) * steep
    hole = neck_hole(p, x, y)
    fall = line - y
    share, relief = weave(p, x, y, fall, w)
    r, g, b = (
        mix(p.ink[CLOTH, 0], p.ink[CLOTH_2, 0], share),
        mix(p.ink[CLOTH, 1], p.ink[CLOTH_2, 1], share),
        mix(p.ink[CLOTH, 2], p.ink[CLOTH_2, 2], share),
    )
    q = max(-1.0, min(1.0, x / (1.15 * p.shoulder_w)))
    round_off = ramp(0.16, 0.0, fall)
    folds = 0.10 * noise2(x * 3.2 + 0.8 * noise1(y * 2.5, p.seed + 72), y * 1.5 + 1.2 * ax, p.seed + 73)
    crease = bump(ax, y, p.shoulder_w * 0.80, -1.02, 0.05, 0.25)[0]
    nx, ny = 0.72 * q * abs(q) + folds, 0.10 + 0.55 * round_off
    light = lamp(p, nx, ny, math.sqrt(clip01(1.0 - nx * nx - ny * ny)))
    light = clip01(light * (1.0 + relief + folds) * (1.0 - 0.35 * crease))
    light *= 1.0 - 0.45 * ramp(0.22, 0.0, sd_chin)

    if p.neckline == HOODIE:
        hood = ellipse(x, y - p.shoulder_y - 0.09, 1.62 * p.neck_w + 0.04, 0.20)
        body = smooth_min(body, hood, 0.05)
    # The blazer's hole is filled by a shirt, the others' by the skin already painted.
    if p.neckline == BLAZER:
        shirt = max(body, -ellipse(x, y - p.shoulder_y - 0.115, 1.05 * p.neck_w, 0.13))
        paint(px, p, CLOTH_2, clip01(light + 0.05), 0.0, cover(max(shirt, hole - 0.02), w), PART_CLOTHES, tone)
        button = stroke(x, max(0.004, 0.2 * w), w) * cover(max(shirt, hole), w)
        over(px, px.r * 0.7, px.g * 0.7, px.b * 0.72, 0.5 * button, PART_CLOTHES)
    alpha = min(cover(body, w), 1.0 - cover(hole, w))
    if p.neckline == TURTLENECK:
        alpha = cover(body, w)
    # Light falls into the opening, so its edge is dark inside and bright outside.
    rim = stroke(hole - 0.022, 0.022, w) * alpha
    inner = ramp(-0.05, 0.0, hole) * cover(body, w) * (1.0 if p.neckline != TURTLENECK else 0.0)
    over(px, px.r * 0.62, px.g * 0.54, px.b * 0.55, 0.45 * inner * cover(hole, w), px.part)
    if alpha > 0.0:
        over(
            px,
            r * mix(p.tones[tone, 0], p.tones[tone, 3], light),
            g * mix(p.tones[tone, 1], p.tones[tone, 4], light),
            b * mix(p.tones[tone, 2], p.tones[tone, 5], light),
            alpha,
            PART_CLOTHES,
        )

    if p.neckline == CREW or p.neckline == SCOOP or p.neckline == V_NECK:
        over(px, px.r * 0.80, px.g * 0.79, px.b * 0.81, 0.85 * rim, PART_CLOTHES)
        edge = stroke(hole - 0.046, max(0.005, 0.22 * w), w) * alpha
        over(px, px.r * 0.62, px.g * 0.61, px.b * 0.64, 0.7 * edge, PART_CLOTHES)
    elif p.neckline == TURTLENECK:
        mx = x - neck_middle(p, y)
        tube = max(
            abs(mx) - p.neck_w - 0.045 + 0.02 * ramp(0.0, 0.25, y - p.shoulder_y),
            y - p.shoulder_y - 0.20 + 0.5 * mx * mx,
        )
        tube = max(tube, p.shoulder_y - 0.06 - y + 1.2 * mx * mx)
        k = max(-0.95, min(0.95, mx / (p.neck_w + 0.05)))
        ribs = 0.14 * math.cos(math.asin(k) * 17.0) * ramp(0.05, 0.02, w)
        lit = clip01(lamp(p, 0.85 * k, 0.1, math.sqrt(1.0 - 0.7 * k * k)) * (1.0 + ribs))
        lit *= 1.0 - 0.50 * ramp(0.14, -0.02, sd_chin)
        lit *= 1.0 - 0.30 * ramp(0.03, 0.0, abs(y - p.shoulder_y - 0.085 + 0.5 * mx * mx))
        paint(px, p, CLOTH, lit, 0.0, cover(tube, w), PART_CLOTHES, tone)
    elif p.neckline == COLLAR or p.neckline == BLAZER:
        paint_collar(px, p, tone, x, y, ax, hole, light, w)
    elif p.neckline == HOODIE:
        ring = stroke(ellipse(x, y - p.shoulder_y - 0.09, 1.40 * p.neck_w + 0.02, 0.18), 0.030, max(w, 0.03)) * alpha
        over(px, px.r * 0.70, px.g * 0.70, px.b * 0.74, 0.55 * ring, PART_CLOTHES)
        cord = stroke(ax - 0.085 - 0.02 * (p.shoulder_y - y), max(0.011, 0.35 * w), w)
        cord *= cover(y - p.shoulder_y + 0.04, w) * cover(p.shoulder_y - 0.30 - y, w)
        over(px, 0.95 * (0.5 + 0.5 * light), 0.94 * (0.5 + 0.5 * light), 0.92 * (0.5 + 0.5 * light), cord, PART_CLOTHES)


@pixelwise
def paint_collar(px, p, tone, x, y, ax, hole, light, w):
    """Two flaps of a shirt, or the lapels of a blazer."""
    top = y - p.shoulder_y
    if p.neckline == COLLAR:
        outer = ax - p.neck_w - 0.055 + 0.36 * max(0.0, -top + 0.02)
        flap = max(max(outer, -hole), max(top - 0.155 + 0.20 * ax, -top - 0.20 + 0.42 * (0.28 - ax)))
        row, lift = CLOTH_2, 0.10
    else:
        outer = ax - 0.155 * clip01(1.0 + (top - 0.10) / 0.55) - 0.115
        notch = 0.05 * clip01(1.0 - abs(top + 0.14) / 0.03)
        flap = max(max(outer + notch, -hole), top - 0.10 + 0.15 * ax)
        row, lift = CLOTH, -0.07
    drop = ramp(0.05, 0.0, flap) * ramp(-0.1, 0.0, flap + 0.05)
    over(px, px.r * 0.70, px.g * 0.69, px.b * 0.72, 0.5 * drop * cover(-hole, w), px.part)
    paint(px, p, row, clip01(light + lift), 0.0, cover(flap, w), PART_CLOTHES, tone)
    line = stroke(flap, max(0.005, 0.25 * w), w)
    over(px, px.r * 0.68, px.g * 0.67, px.b * 0.70, 0.6 * line * cover(-hole - 0.004, w), PART_CLOTHES)
