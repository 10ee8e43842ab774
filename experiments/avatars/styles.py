"""Hair styles, beards and hats as rows of numbers: a new style is a new row.

Heights are shares of the head's half-height, widths of its half-width. Sticks are (x, y, z) points in the
same unit, z towards the viewer, so that they turn with the head.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class HairStyle:
    top: float = 0.10  # how far the outline stands off the skull above
    side: float = 0.06  # and at the ears
    tall: float = 0.0  # extra height of the crown's middle
    lean: float = 0.0  # the outline leans to one side
    hairline: float = 0.62  # height over the middle of the forehead
    temple: float = 0.30  # height at the temples
    sweep: float = 0.0  # one side of the hairline higher than the other
    notch: float = 0.0  # gap in the fringe at the parting
    peak: float = 0.0  # widow's peak (negative)
    ragged: float = 0.010  # single strands of the fringe, half-frames
    part_x: float = 0.0
    part_y: float = 0.92
    part_line: float = 0.0  # 0..1, a visible parting
    side_x: float = 0.90  # hair of the sides begins here; 1.5: no sides
    side_y: float = 0.02  # and ends here
    bottom: float = -0.10  # the outline is cut below this
    lock_rate: float = 6.0  # strands a radian
    curl: float = 0.0  # 1: coils instead of strands
    curl_rate: float = 13.0  # coils a half-frame
    rough: float = 0.0  # unevenness of the outline, half-frames
    spikes: float = 0.0
    spike_rate: float = 2.4
    crest: float = 0.0  # half-width of a mohawk
    alpha: float = 1.0  # cover of the cap; stubble is thinner
    length: float = 0.0  # lower end of the hanging hair, half-frames below the head's middle
    wide: float = 1.10  # border of the hanging hair at the ears
    end: float = 1.16  # and at its end
    wave: float = 0.0
    locks: float = 0.0  # 1: the hanging hair also falls before the shoulders
    lock_inner: float = 0.86  # its inner border
    lock_open: float = 0.10  # the inner border's run outward below the jaw, half-frames
    ends_ragged: float = 0.02
    sticks: tuple = ()  # ((x, y, z), (x, y, z), radius, radius, braid, front)


# fmt: off
STYLES = {
    "bald": HairStyle(
        top=-0.02, side=-0.02, hairline=1.4, temple=1.4, side_x=1.5),
    "buzz cut": HairStyle(
        top=0.025, side=0.015, hairline=0.60, temple=0.40, side_x=0.93, side_y=0.08, alpha=0.80, ragged=0.012,
        lock_rate=16.0, bottom=0.0),
    "short": HairStyle(
        top=0.13, side=0.05, hairline=0.55, temple=0.40, sweep=0.06, part_x=0.25, ragged=0.016, side_y=0.0),
    "side part": HairStyle(
        top=0.16, side=0.06, hairline=0.60, temple=0.36, sweep=-0.16, part_x=0.42, part_y=0.86, part_line=1.0,
        ragged=0.008, lean=-0.035, side_y=-0.02),
    "quiff": HairStyle(
        top=0.15, side=0.02, tall=0.17, lean=0.05, hairline=0.66, temple=0.46, part_x=-0.1, part_y=0.45,
        ragged=0.012, side_x=0.93, side_y=0.05, lock_rate=7.5),
    "spiky": HairStyle(
        top=0.16, side=0.05, hairline=0.56, temple=0.40, spikes=0.17, ragged=0.040, part_y=0.45, side_y=0.0,
        spike_rate=2.55),
    "bowl cut": HairStyle(
        top=0.14, side=0.13, hairline=0.36, temple=0.30, ragged=0.007, side_y=-0.06, bottom=-0.10, side_x=0.86,
        part_y=1.0),
    "pixie cut": HairStyle(
        top=0.17, side=0.10, hairline=0.46, temple=0.24, sweep=0.20, part_x=-0.42, part_y=0.90, part_line=0.6,
        ragged=0.022, side_x=0.84, side_y=-0.22, bottom=-0.34, lean=0.03),
    "balding": HairStyle(
        top=-0.02, side=0.09, hairline=1.4, temple=1.4, side_x=0.86, side_y=-0.08, ragged=0.02, bottom=-0.14),
    "mohawk": HairStyle(
        top=0.02, side=-0.02, tall=0.42, hairline=0.58, temple=0.58, side_x=1.5, crest=0.34, ragged=0.02,
        spikes=0.06, spike_rate=6.0, part_y=0.2, lock_rate=9.0),
    "short curls": HairStyle(
        top=0.24, side=0.13, hairline=0.52, temple=0.36, curl=1.0, rough=0.034, side_x=0.88, side_y=-0.02,
        ragged=0.028, bottom=-0.08, curl_rate=13.5),
    "afro": HairStyle(
        top=0.58, side=0.44, hairline=0.62, temple=0.44, curl=1.0, curl_rate=14.0, rough=0.030, side_x=0.90,
        side_y=-0.16, ragged=0.026, bottom=-0.62),
    "bob": HairStyle(
        top=0.15, side=0.15, hairline=0.34, temple=0.26, ragged=0.007, side_x=0.80, side_y=-0.2, bottom=-0.3,
        length=0.44, wide=1.17, end=1.32, locks=1.0, lock_inner=0.82, lock_open=-0.04, ends_ragged=0.012),
    "wavy bob": HairStyle(
        top=0.18, side=0.17, hairline=0.60, temple=0.20, sweep=-0.12, part_x=0.35, part_line=0.7, side_x=0.82,
        side_y=-0.2, bottom=-0.3, length=0.48, wide=1.20, end=1.38, wave=0.035, locks=1.0, lock_inner=0.84,
        lock_open=0.0, ends_ragged=0.03, lean=-0.02),
    "long straight": HairStyle(
        top=0.13, side=0.10, hairline=0.66, temple=0.26, notch=0.0, part_line=1.0, part_y=0.80, ragged=0.005,
        side_x=0.84, side_y=-0.3, bottom=-0.3, length=1.30, wide=1.12, end=1.22, locks=1.0, lock_inner=0.86,
        lock_open=0.06, ends_ragged=0.02),
    "long wavy": HairStyle(
        top=0.18, side=0.15, hairline=0.60, temple=0.18, sweep=0.14, part_x=-0.34, part_line=0.8, side_x=0.82,
        side_y=-0.3, bottom=-0.3, length=1.20, wide=1.18, end=1.46, wave=0.045, locks=1.0, lock_inner=0.84,
        lock_open=0.07, lean=0.02, ends_ragged=0.04),
    "long curly": HairStyle(
        top=0.30, side=0.28, hairline=0.58, temple=0.24, curl=1.0, curl_rate=11.5, rough=0.045, side_x=0.80,
        side_y=-0.3, bottom=-0.4, length=0.98, wide=1.34, end=1.62, wave=0.025, locks=1.0, lock_inner=0.83,
        lock_open=0.05, ragged=0.03, ends_ragged=0.06),
    "long fringe": HairStyle(
        top=0.14, side=0.12, hairline=0.33, temple=0.24, ragged=0.010, side_x=0.82, side_y=-0.3, bottom=-0.3,
        length=1.30, wide=1.15, end=1.28, locks=1.0, lock_inner=0.85, lock_open=0.06, part_y=1.0),
    "ponytail": HairStyle(
        top=0.09, side=0.04, hairline=0.64, temple=0.40, part_y=1.0, ragged=0.008, side_x=0.92,
        sticks=(((0.55, 0.98, -0.5), (1.14, 0.62, -0.4), 0.09, 0.15, 0, 0),
                ((1.14, 0.62, -0.4), (1.34, -0.05, -0.3), 0.15, 0.145, 0, 0),
                ((1.34, -0.05, -0.3), (1.24, -0.75, -0.3), 0.145, 0.03, 0, 0))),
    "pigtails": HairStyle(
        top=0.11, side=0.07, hairline=0.50, temple=0.26, part_line=1.0, ragged=0.010, side_x=0.88, notch=0.12,
        side_y=-0.06,
        sticks=(((1.02, 0.06, -0.2), (1.38, -0.30, -0.1), 0.075, 0.14, 0, 0),
                ((1.38, -0.30, -0.1), (1.33, -0.92, 0.0), 0.14, 0.05, 0, 0),
                ((-1.02, 0.06, -0.2), (-1.38, -0.30, -0.1), 0.075, 0.14, 0, 0),
                ((-1.38, -0.30, -0.1), (-1.33, -0.92, 0.0), 0.14, 0.05, 0, 0))),
    "braid": HairStyle(
        top=0.12, side=0.08, hairline=0.58, temple=0.24, sweep=0.16, part_x=-0.36, part_line=0.8, ragged=0.010,
        side_x=0.86, side_y=-0.10,
        sticks=(((0.96, -0.30, -0.1), (1.04, -1.75, 0.3), 0.098, 0.070, 1, 1),
                ((1.04, -1.75, 0.3), (1.04, -2.05, 0.3), 0.055, 0.085, 0, 1))),
    "bun": HairStyle(
        top=0.09, side=0.04, hairline=0.64, temple=0.40, part_y=1.05, ragged=0.008, side_x=0.92,
        sticks=(((0.0, 1.24, -0.35), (0.0, 1.25, -0.35), 0.165, 0.165, 0, 0),)),
    "space buns": HairStyle(
        top=0.10, side=0.05, hairline=0.58, temple=0.34, part_line=1.0, ragged=0.010, side_x=0.90, notch=0.10,
        sticks=(((0.66, 1.06, -0.2), (0.665, 1.07, -0.2), 0.155, 0.155, 0, 0),
                ((-0.66, 1.06, -0.2), (-0.665, 1.07, -0.2), 0.155, 0.155, 0, 0))),
    "puffs": HairStyle(
        top=0.06, side=0.03, hairline=0.62, temple=0.40, part_line=1.0, curl=1.0, curl_rate=15.0, rough=0.022,
        ragged=0.012, side_x=0.92,
        sticks=(((0.92, 0.92, -0.2), (0.925, 0.93, -0.2), 0.225, 0.225, 0, 0),
                ((-0.92, 0.92, -0.2), (-0.925, 0.93, -0.2), 0.225, 0.225, 0, 0))),
}

# full, chin, moustache, soft, outward growth, extra length at the chin, height in the middle and at the sides
BEARD_ROWS = {
    "none": (0, 0, 0, 0, 0.0, 0.0, 0.0, 0.0),
    "stubble": (1, 0, 1, 1, 0.0, 0.0, -0.46, 0.02),
    "moustache": (0, 0, 1, 0, 0.0, 0.0, 0.0, 0.0),
    "goatee": (0, 1, 1, 0, 0.02, 0.06, 0.0, 0.0),
    "full": (1, 0, 1, 0, 0.07, 0.05, -0.47, 0.04),
    "long": (1, 0, 1, 0, 0.10, 0.34, -0.47, 0.04),
}

# smile, mouth open, teeth, brows up, brows' inner ends up, eyes open, squint, mouth width, smirk
EXPRESSION_ROWS = {
    "neutral": (0.22, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0),
    "smile": (0.95, 0.0, 0.0, 0.008, 0.004, 0.98, 0.30, 1.14, 0.0),
    "grin": (0.90, 0.34, 1.3, 0.010, 0.004, 0.95, 0.40, 1.22, 0.0),
    "laugh": (0.85, 0.88, 0.8, 0.022, 0.006, 0.84, 0.60, 1.22, 0.0),
    "sad": (-0.62, 0.0, 0.0, 0.006, 0.034, 0.86, 0.0, 0.92, 0.0),
    "angry": (-0.45, 0.0, 0.0, -0.036, -0.044, 0.84, 0.35, 0.96, 0.0),
    "surprised": (0.05, 1.0, 0.12, 0.052, 0.008, 1.28, 0.0, 0.70, 0.0),
    "wink": (0.85, 0.22, 1.2, 0.012, 0.0, 1.0, 0.30, 1.12, 0.4),
    "smirk": (0.50, 0.0, 0.0, 0.006, -0.006, 0.90, 0.20, 1.02, 1.0),
}

# side, top: how far the hat's outline stands off the skull; rim's height; dip of the rim at the ears
HAT_ROWS = {
    "none": (0.0, 0.0, 9.0, 0.0), "beanie": (0.13, 0.27, 0.40, -0.03), "bobble hat": (0.13, 0.24, 0.40, -0.03),
    "brimmed hat": (0.10, 0.34, 0.50, 0.0), "cap": (0.09, 0.20, 0.54, -0.02), "beret": (0.07, 0.12, 0.50, -0.02),
    "bucket hat": (0.09, 0.22, 0.52, 0.0),
}
# fmt: on
