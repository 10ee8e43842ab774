"""One avatar over time: head, gaze, lids and mouth along smooth curves."""

import hashlib
import math

import numpy as np

from .avatar import Avatar, counterfactual

FRAMES_A_SECOND = 25
_BLINK = (0.35, 0.9, 1.0, 0.75, 0.4, 0.15)  # lids over the frames of one blink


def _sway(generator: np.random.Generator, time: np.ndarray, slowest: float) -> np.ndarray:
    """A smooth curve about 0 within -1..1: three sines of falling weight. slowest: seconds."""
    curve = np.zeros_like(time)
    for k, weight in enumerate((0.6, 0.28, 0.12)):
        period = slowest / (1.0 + 1.3 * k) * generator.uniform(0.8, 1.25)
        curve += weight * np.sin(2.0 * math.pi * (time / period + generator.random()))
    return curve


def _blinks(generator: np.random.Generator, frames: int) -> np.ndarray:
    lids = np.zeros(frames)
    at = int(generator.integers(4, 40))
    while at < frames:
        part = _BLINK[: frames - at]
        lids[at : at + len(part)] = part
        at += int(generator.integers(40, 110))
    return lids


def _glances(generator: np.random.Generator, frames: int) -> np.ndarray:
    """Gaze (frames, 2): still for a while, then a jump over two or three frames."""
    gaze = np.zeros((frames, 2))
    at, here = 0, np.zeros(2)
    while at < frames:
        end = at + int(generator.integers(12, 45))
        there = generator.uniform(-1.0, 1.0, 2) * (0.75, 0.4) if generator.random() < 0.6 else np.zeros(2)
        for k in range(at, min(end, frames)):
            gaze[k] = here + (there - here) * min(1.0, (k - at + 1) / 3.0)
        at, here = end, there
    return gaze


def _speech(generator: np.random.Generator, time: np.ndarray) -> np.ndarray:
    """Mouth opening 0..1: syllables at about four a second, in phrases with rests between."""
    phrase = np.clip(1.6 * _sway(generator, time, 3.5) + 0.45, 0.0, 1.0)
    beat = np.abs(np.sin(math.pi * (4.0 * time + 0.5 * _sway(generator, time, 1.1))))
    return phrase * beat * (0.55 + 0.35 * _sway(generator, time, 0.9))


def video(avatar: Avatar, frames: int, seed: int) -> list[Avatar]:
    """The avatar in `frames` successive pictures at 25 a second, the same for the same seed.

    Pose sways about the avatar's own; the grain stays, as a camera's fixed pattern would.

    Raises:
        ValueError: `frames` is not positive.
    """
    if frames < 1:
        raise ValueError(f"a video has at least 1 frame, not {frames}")
    key = hashlib.blake2b(f"{seed}/video/{avatar.grain_seed}".encode(), digest_size=16).digest()
    generator = np.random.Generator(np.random.PCG64(int.from_bytes(key, "little")))
    a = avatar.attributes
    time = np.arange(frames) / FRAMES_A_SECOND
    yaw = np.clip(a.yaw + 16.0 * _sway(generator, time, 4.0), -32.0, 32.0)
    pitch = np.clip(a.pitch + 5.0 * _sway(generator, time, 3.0), -12.0, 12.0)
    roll = np.clip(a.roll + 5.0 * _sway(generator, time, 5.0), -15.0, 15.0)
    lids, glances, speech = _blinks(generator, frames), _glances(generator, frames), _speech(generator, time)
    strength = np.clip(a.expression_strength * (0.85 + 0.2 * _sway(generator, time, 4.0)), 0.0, 1.2)
    gaze = np.clip(glances + (a.gaze_x, a.gaze_y), -1.0, 1.0)
    return [
        counterfactual(
            avatar,
            yaw=float(yaw[k]),
            pitch=float(pitch[k]),
            roll=float(roll[k]),
            blink=float(lids[k]),
            gaze_x=float(gaze[k, 0]),
            gaze_y=float(gaze[k, 1]),
            speech=float(max(0.0, speech[k])),
            expression_strength=float(strength[k]),
        )
        for k in range(frames)
    ]
