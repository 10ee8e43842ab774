"""Signed distances, edge coverage and lattice noise that all layers draw with.

Lengths are in half-frames: the picture spans -1..1 both ways, y up. A signed distance is negative
inside. `w` is the width of one pixel in the same unit, so an edge is one pixel soft at every size.
"""

import math

from .compiling import pixelwise


@pixelwise
def clip01(t):
    return 0.0 if t < 0.0 else (1.0 if t > 1.0 else t)


@pixelwise
def length(x, y):
    """Like math.hypot, without its guard against overflow."""
    return math.sqrt(x * x + y * y)


@pixelwise
def cover(sd, w):
    """Share of a pixel that lies inside, 0..1."""
    return clip01(0.5 - sd / w)


@pixelwise
def stroke(d, half, w):
    """Share of a pixel covered by a line of half-width `half` whose axis is `d` away (box coverage)."""
    d = abs(d)
    low = max(d - 0.5 * w, -half)
    high = min(d + 0.5 * w, half)
    return max(0.0, high - low) / w


@pixelwise
def ramp(a, b, x):
    """Smooth step from 0 at `a` to 1 at `b` (either order)."""
    t = clip01((x - a) / (b - a))
    return t * t * (3.0 - 2.0 * t)


@pixelwise
def mix(a, b, t):
    return a + (b - a) * t


@pixelwise
def smooth_min(a, b, k):
    h = max(k - abs(a - b), 0.0) / k
    return min(a, b) - h * h * k * 0.25


@pixelwise
def smooth_max(a, b, k):
    return -smooth_min(-a, -b, k)


@pixelwise
def capsule(x, y, ax, ay, bx, by, ra, rb):
    """Distance to a stick from a to b whose radius goes from `ra` to `rb`, and the place along it 0..1."""
    dx, dy = bx - ax, by - ay
    t = clip01(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy + 1e-12))
    return length(x - ax - dx * t, y - ay - dy * t) - mix(ra, rb, t), t


@pixelwise
def ellipse(x, y, rx, ry):
    """Distance to an ellipse, first order: exact on the edge, fair near it."""
    kx, ky = x / rx, y / ry
    k = kx * kx + ky * ky
    g = 2.0 * math.sqrt(kx * kx / (rx * rx) + ky * ky / (ry * ry)) + 1e-9
    return max((k - 1.0) / g, -min(rx, ry))


@pixelwise
def box(x, y, hx, hy, radius):
    """Distance to a box of half-sides `hx`, `hy` with rounded corners."""
    qx, qy = abs(x) - hx + radius, abs(y) - hy + radius
    return length(max(qx, 0.0), max(qy, 0.0)) + min(max(qx, qy), 0.0) - radius


@pixelwise
def bump(x, y, cx, cy, rx, ry):
    """Height of a Gaussian hill and its slope in x and y."""
    ax, ay = (x - cx) / rx, (y - cy) / ry
    q = ax * ax + ay * ay
    if q > 9.0:
        return 0.0, 0.0, 0.0
    h = math.exp(-q)
    return h, -2.0 * ax / rx * h, -2.0 * ay / ry * h


@pixelwise
def hash01(i, j, seed):
    """A fixed number 0..1 for a lattice point."""
    h = (i * 374761393 + j * 668265263 + seed * 974711) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    h = ((h ^ (h >> 16)) * 668265263) & 0xFFFFFFFF
    return (h ^ (h >> 15)) * (1.0 / 4294967296.0)


@pixelwise
def noise1(x, seed):
    """Smooth noise along a line, -1..1, one feature a unit."""
    fx = math.floor(x)
    i = int(fx)
    t = x - fx
    t = t * t * (3.0 - 2.0 * t)
    return 2.0 * mix(hash01(i, 7, seed), hash01(i + 1, 7, seed), t) - 1.0


@pixelwise
def noise2(x, y, seed):
    """Smooth noise in the plane, -1..1, one feature a unit."""
    fx, fy = math.floor(x), math.floor(y)
    i, j = int(fx), int(fy)
    s, t = x - fx, y - fy
    s, t = s * s * (3.0 - 2.0 * s), t * t * (3.0 - 2.0 * t)
    low = mix(hash01(i, j, seed), hash01(i + 1, j, seed), s)
    high = mix(hash01(i, j + 1, seed), hash01(i + 1, j + 1, seed), s)
    return 2.0 * mix(low, high, t) - 1.0


@pixelwise
def cell(x, y, seed):
    """Nearest of the jittered lattice points: offset to it, distance, and a number 0..1 of its own."""
    fx, fy = math.floor(x), math.floor(y)
    best, bx, by, own = 9.0, 0.0, 0.0, 0.0
    for j in range(fy - 1, fy + 2):
        for i in range(fx - 1, fx + 2):
            tag = hash01(i, j, seed)
            dx = x - (i + 0.2 + 0.6 * tag)
            other = tag * 97.0
            dy = y - (j + 0.2 + 0.6 * (other - math.floor(other)))
            d = dx * dx + dy * dy
            if d < best:
                best, bx, by, own = d, dx, dy, tag
    return bx, by, math.sqrt(best), own


@pixelwise
def over(px, r, g, b, alpha, part):
    """Lay a colour over the pixel; its part becomes the pixel's where it covers more than half."""
    if alpha <= 0.0:
        return
    px.r += (r - px.r) * alpha
    px.g += (g - px.g) * alpha
    px.b += (b - px.b) * alpha
    if alpha > 0.5:
        px.part = part


@pixelwise
def paint(px, p, row, light, shine, alpha, part, tone):
    """Lay an ink over the pixel as lit by `light` 0..1 with `shine` 0..1 of the way to white.

    row: of the inks; tone: of the tones, what shadow and light do to this material.
    """
    if alpha <= 0.0:
        return
    r = p.ink[row, 0] * mix(p.tones[tone, 0], p.tones[tone, 3], light)
    g = p.ink[row, 1] * mix(p.tones[tone, 1], p.tones[tone, 4], light)
    b = p.ink[row, 2] * mix(p.tones[tone, 2], p.tones[tone, 5], light)
    shine = clip01(shine)
    over(
        px,
        r + (1.0 - min(r, 1.0)) * shine,
        g + (1.0 - min(g, 1.0)) * shine,
        b + (1.0 - min(b, 1.0)) * shine,
        alpha,
        part,
    )
