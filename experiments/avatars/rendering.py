"""Avatars as pictures, part maps and landmarks."""

from typing import NamedTuple

import numpy as np

from .avatar import Avatar
from .kernel import compiled
from .landmarks import landmarks
from .layout import PIXEL, numbers

RENDERER_VERSION = "1"
SIZES = range(32, 257)


class Rendered(NamedTuple):
    """One picture: image (H, W, 3) uint8 RGB, parts (H, W) uint8 of PARTS, landmarks (L, 2) float32, pixels."""

    image: np.ndarray
    parts: np.ndarray
    landmarks: np.ndarray


def _checked(size: int) -> int:
    if size not in SIZES:
        raise ValueError(f"size is {SIZES.start} to {SIZES.stop - 1} pixels, not {size}")
    return size


def render(avatar: Avatar, size: int) -> Rendered:
    """Draw one avatar `size` x `size` pixels.

    Raises:
        ValueError: `size` is outside 32..256.
    """
    size = _checked(size)
    image, parts = np.empty((size, size, 3), np.uint8), np.empty((size, size), np.uint8)
    compiled()(numbers(avatar), np.zeros(1, PIXEL)[0], image, parts)
    return Rendered(image, parts, landmarks(avatar, size))


def render_batch(avatars: list[Avatar], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw many avatars: images (N, H, W, 3) uint8 and parts (N, H, W) uint8.

    Raises:
        ValueError: `size` is outside 32..256.
    """
    size = _checked(size)
    images = np.empty((len(avatars), size, size, 3), np.uint8)
    parts = np.empty((len(avatars), size, size), np.uint8)
    draw, pixel = compiled(), np.zeros(1, PIXEL)[0]
    for avatar, image, part in zip(avatars, images, parts):
        draw(numbers(avatar), pixel, image, part)
    return images, parts
