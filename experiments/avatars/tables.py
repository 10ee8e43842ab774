"""Tables that one avatar's pixels look up: outlines as radius by angle, hairline and beard line across the face.

Angles run from straight up, clockwise in the picture, over 0..2 pi in `ANGLES` steps; the face's lines run
over -1.5..1.5 half-widths of the head in `ACROSS` steps.
"""

import math

from .compiling import pixelwise
from .shapes import clip01, mix, noise1, ramp

ANGLES = 192
ACROSS = 96
OUTLINES = 4
FACE, HAIR, HAT, BEARD = range(OUTLINES)
HAIRLINE, BEARDLINE = range(2)


@pixelwise
def face_radius(p, c, s):
    """Radius of the face's outline in the direction (s, c), c up: round skull above, tapered jaw below."""
    top = c > 0.0
    n = 2.15 if top else p.jaw
    height = p.head_h * (0.98 if top else 1.0)
    radius = p.head_w
    for _ in range(5):
        drop = 0.0 if top else clip01(-radius * c / p.head_h)
        width = (
            p.head_w * (1.0 - p.chin_taper * drop * drop) * (1.0 + p.cheek * math.exp(-(((drop - 0.42) / 0.28) ** 2)))
        )
        radius = ((abs(s) / width) ** n + (abs(c) / height) ** n) ** (-1.0 / n)
    return radius


@pixelwise
def fill_outlines(p):
    """Fill the outlines (OUTLINES, ANGLES + 1) and their relative slopes dR/dangle / R."""
    step = 2.0 * math.pi / ANGLES
    for i in range(ANGLES + 1):
        angle = i * step
        s, c = math.sin(angle), math.cos(angle)
        if i <= ANGLES // 2:
            face = face_radius(p, c, s)
        else:
            face = p.radius[FACE, ANGLES - i]
        p.radius[FACE, i] = face
        up = clip01((c + 0.35) / 1.35)
        away = angle if angle < math.pi else 2.0 * math.pi - angle
        volume = mix(p.hair_side, p.hair_top, up * up * (3.0 - 2.0 * up))
        # Below the ears the outline closes in on the jaw, or a cut would show as a straight edge.
        volume *= ramp(-0.80, -0.10, c)
        volume += p.hair_tall * math.exp(-(((away - 0.0) / 0.42) ** 2)) + p.hair_lean * s * up
        around = angle * ANGLES / (2.0 * math.pi)
        if p.spikes > 0.0:
            # A triangle wave with rounded tips: each spike a straight flank, none of them alike.
            phase = (angle + 0.05 * noise1(around * 0.2, p.seed + 2)) * p.spike_rate
            tooth = abs(2.0 * (phase - math.floor(phase)) - 1.0)
            volume += p.spikes * (tooth - 0.3) * ramp(1.9, 1.1, away) * (1.0 + 0.4 * noise1(phase, p.seed + 4))
        p.radius[HAIR, i] = face * (1.0 + volume)
        p.radius[HAT, i] = face * (1.0 + p.hat_side + (p.hat_top - p.hat_side) * ramp(1.5, 0.2, away))
        down = clip01((-c - 0.05) / 0.95)
        grown = p.beard_out * ramp(0.0, 0.55, down) + p.beard_long * math.exp(-(((away - math.pi) / 0.55) ** 2))
        p.radius[BEARD, i] = face * (1.0 + grown)
    for k in range(OUTLINES):
        for i in range(ANGLES + 1):
            before = p.radius[k, i - 1] if i > 0 else p.radius[k, ANGLES - 1]
            after = p.radius[k, i + 1] if i < ANGLES else p.radius[k, 1]
            slope = (after - before) / (2.0 * step) / p.radius[k, i]
            p.rate[k, i] = 1.0 / math.sqrt(1.0 + min(slope * slope, 4.0))


@pixelwise
def fill_lines(p):
    """Fill hairline and beard line (2, ACROSS)."""
    for i in range(ACROSS):
        q = -1.5 + 3.0 * i / (ACROSS - 1)
        aq = abs(q)
        height = mix(p.hairline, p.temple, ramp(0.0, 1.0, aq / 0.85))
        height += p.sweep * q * ramp(1.1, 0.3, aq) + p.notch * math.exp(-(((q - p.part_q) / 0.16) ** 2))
        height += p.peak * math.exp(-((q / 0.2) ** 2))
        p.lines[HAIRLINE, i] = height * p.head_h
        cheek = mix(p.beard_middle, p.beard_side, ramp(0.30, 1.0, aq) ** 1.4)
        p.lines[BEARDLINE, i] = cheek * p.head_h


@pixelwise
def lookup(p, row, t):
    """A line of the face at a fractional place `t`, ends held."""
    t = min(max(t, 0.0), ACROSS - 1.001)
    i = int(t)
    return p.lines[row, i] + (p.lines[row, i + 1] - p.lines[row, i]) * (t - i)


@pixelwise
def outline_distance(p, k, angle, r):
    """Distance to outline k, and the radius there, from polar coordinates (angle 0..2 pi, r)."""
    t = angle * (ANGLES / (2.0 * math.pi))
    i = min(int(t), ANGLES - 1)
    f = t - i
    edge = p.radius[k, i] + (p.radius[k, i + 1] - p.radius[k, i]) * f
    return (r - edge) * (p.rate[k, i] + (p.rate[k, i + 1] - p.rate[k, i]) * f), edge
