"""Images in and out: files to uint8 and back, the rounding to bytes, JPEG, resizing.

A file gives uint8 (C, H, W), RGB; work is on float32 (N, C, H, W) in [0, 1]. What could be read in more than one way
(transparency, CMYK, 16 bits, several frames) is refused with a sentence instead of guessed.
"""

import io
import os
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional

from advgen.core.errors import BadArgument, BadFile, MissingFile
from advgen.core.files import write_atomically
from advgen.core.provenance import Provenance, signed

MIN_SIDE = 8  # pixels; below it no network here has a feature map
MAX_PIXELS = 64_000_000  # a 61-megapixel photograph passes, a decompression bomb does not
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
# Only formats that Pillow decodes itself: EPS and the like start other programs.
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, IndexError, KeyError, TypeError)


class Folder(NamedTuple):
    """The images of a folder."""

    ids: tuple[str, ...]  # paths relative to the folder, with "/", sorted
    images_u8: Tensor  # (N, C, H, W) uint8


def load(path: str | Path, *, channels: Literal[1, 3] = 3, background: tuple[int, int, int] | None = None) -> Tensor:
    """One image file as uint8 (C, H, W), turned upright by its EXIF orientation.

    `channels` 1 gives luma; `background` (RGB, 0-255) is what transparent pixels are laid on.

    Raises:
        MissingFile: there is no such file.
        BadFile: not an image, damaged, too small or too large, animated, CMYK, 16 bits a channel, or transparent
            while no background is given.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise MissingFile(f"there is no image {path}.") from None
    except IsADirectoryError:
        raise BadFile(f"{path} is a folder, not an image file.") from None
    except OSError as error:
        raise BadFile(f"{path} cannot be read: {error.strerror}.") from None
    return decode(data, str(path), channels=channels, background=background)


def decode(
    data: bytes, name: str, *, channels: Literal[1, 3] = 3, background: tuple[int, int, int] | None = None
) -> Tensor:
    """The bytes of an image file as uint8 (C, H, W); `name` is what errors call them. See `load`."""
    with _reading(data, name) as image:
        _refuse_what_is_ambiguous(image, data, name)
        try:
            image.load()
            upright = ImageOps.exif_transpose(image)
        except _UNREADABLE as error:
            raise BadFile(f"{name} is damaged or cut off ({_first_line(error)}); get the file again.") from None
        opaque = _without_alpha(upright, name, background)
        pixels = np.array(opaque.convert("L" if channels == 1 else "RGB"))
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], channels)).permute(2, 0, 1).contiguous()


def image_files(folder: str | Path) -> tuple[str, ...]:
    """Relative paths ("/" between parts) of the image files below `folder`, sorted; hidden files are left out.

    Raises:
        MissingFile: there is no such folder.
        BadFile: it is a file, or holds no image.
    """
    folder = Path(folder)
    if not folder.exists():
        raise MissingFile(f"there is no folder {folder}.")
    if not folder.is_dir():
        raise BadFile(f"{folder} is a file; a folder of images was expected.")
    found, others = [], 0
    for here, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if name.startswith("."):
                continue
            if name.lower().endswith(SUFFIXES):
                found.append((Path(here) / name).relative_to(folder).as_posix())
            else:
                others += 1
    if not found:
        held = f"{others} file(s), none of them an image" if others else "nothing"
        raise BadFile(f"{folder} holds {held}; expected files that end in {' '.join(SUFFIXES)}.")
    return tuple(sorted(found))


def load_folder(
    folder: str | Path,
    *,
    size: int | None = None,
    channels: Literal[1, 3] = 3,
    background: tuple[int, int, int] | None = None,
) -> Folder:
    """Every image below `folder`; `size` cuts the centre square and scales it to `size` x `size`.

    Raises:
        BadFile: a file cannot be read, or without `size` two images differ in shape.
    """
    ids = image_files(folder)
    images = []
    for name in ids:
        image = load(Path(folder) / name, channels=channels, background=background)
        images.append(image if size is None else centre_square(image, size))
        if images[-1].shape != images[0].shape:
            raise BadFile(
                f"{folder} holds images of different sizes ({ids[0]} is {_size(images[0])}, {name} is "
                f"{_size(image)}); give a size to scale them to."
            )
    return Folder(ids, torch.stack(images))


def png_bytes(image_u8: Tensor) -> bytes:
    """A uint8 (C, H, W) image, C = 1 or 3, as the bytes of a PNG; the same bytes for the same pixels."""
    return _encoded(image_u8, "PNG")


def from_png_bytes(data: bytes, *, channels: Literal[1, 3] = 3) -> Tensor:
    """The uint8 (C, H, W) image in the bytes of a PNG."""
    return decode(data, "the PNG", channels=channels)


def save_png(image_u8: Tensor, path: str | Path, *, provenance: Provenance | None = None) -> None:
    """Writes a uint8 (C, H, W) image as a PNG, whole or not at all, with how it was made.

    Without provenance only pictures that no maker made: real ones, and what a training shows of its course.

    Raises:
        UserError: the folder cannot be written or the disk is full.
    """
    data = png_bytes(image_u8)
    write_atomically(Path(path), data if provenance is None else signed(data, provenance))


def jpeg(images_u8: Tensor, quality: int) -> Tensor:
    """uint8 (N, C, H, W) through JPEG and back, `quality` 1-95, Pillow's tables and 4:2:0 colour."""
    if not 1 <= quality <= 95:
        raise BadArgument(f"JPEG quality must be 1 to 95, got {quality}.")
    if not len(images_u8):
        return images_u8.clone()
    rows = []
    for image in images_u8:
        with Image.open(io.BytesIO(_encoded(image, "JPEG", quality))) as decoded:
            pixels = np.array(decoded)
        rows.append(torch.from_numpy(pixels.reshape(*pixels.shape[:2], len(image))).permute(2, 0, 1))
    return torch.stack(rows).to(images_u8.device)


def to_uint8(images: Tensor) -> Tensor:
    """Floats in [0, 1], any shape, to the nearest byte: round(255 x), halves to even. Never truncates.

    Raises:
        BadArgument: NaN, or values further than 1e-6 outside [0, 1].
    """
    check_range(images)
    return (images.clamp(0, 1) * 255).round().to(torch.uint8)


def to_float(images_u8: Tensor) -> Tensor:
    """Bytes to float32 in [0, 1]."""
    return images_u8.to(torch.float32) / 255.0


def check_range(images: Tensor, name: str = "images") -> None:
    """Refuses what is not floats in [0, 1] (within 1e-6), saying the range found.

    Raises:
        BadArgument: another dtype, NaN, or values outside.
    """
    if not images.is_floating_point():
        raise BadArgument(f"{name} must be floats in [0, 1], got {_dtype(images)}; divide bytes by 255.")
    if not images.numel():
        return
    low, high = (float(value) for value in torch.aminmax(images.detach()))
    if low != low or high != high:
        bad = int(images.isnan().sum())
        raise BadArgument(f"{name} must be numbers in [0, 1], got NaN in {bad} of {images.numel()} values.")
    if low < -1e-6 or high > 1 + 1e-6:
        raise BadArgument(
            f"{name} must lie in [0, 1], got values from {low:.6g} to {high:.6g}; divide 0-255 images by 255, "
            "and undo a normalisation (x * std + mean) first."
        )


def check_images(images: Tensor, name: str = "images") -> None:
    """Refuses what is not float (N, C, H, W) in [0, 1] with C = 1 or 3.

    Raises:
        BadArgument: another shape, dtype or range.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise BadArgument(f"{name} must have the shape (N, C, H, W) with C = 1 or 3, got {tuple(images.shape)}.")
    check_range(images, name)


def resize(images: Tensor, size: int | tuple[int, int]) -> Tensor:
    """(N, C, H, W) or (C, H, W), floats or bytes, to `size` (H, W) by antialiased bilinear filtering."""
    height, width = (size, size) if isinstance(size, int) else size
    if tuple(images.shape[-2:]) == (height, width):
        return images
    if images.dtype == torch.uint8:
        return to_uint8(resize(to_float(images), (height, width)))
    batch = images if images.ndim == 4 else images.unsqueeze(0)
    scaled = functional.interpolate(batch, (height, width), mode="bilinear", align_corners=False, antialias=True)
    return (scaled if images.ndim == 4 else scaled.squeeze(0)).clamp(0, 1)


def centre_square(images: Tensor, size: int) -> Tensor:
    """The largest centred square of (…, C, H, W), scaled to `size` x `size`."""
    height, width = images.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return resize(images[..., top : top + side, left : left + side], size)


def difference(images_u8: Tensor, originals_u8: Tensor, *, gain: int = 10) -> Tensor:
    """What changed, as a picture: bytes 128 + gain * (image - original), clipped; grey is no change."""
    change = images_u8.to(torch.int32) - originals_u8.to(torch.int32)
    return (128 + gain * change).clamp(0, 255).to(torch.uint8)


def grid(images_u8: Tensor | list[Tensor], *, columns: int | None = None, gap: int = 2, paper: int = 255) -> Tensor:
    """A contact sheet: uint8 images (C, H, W) of one size, row by row, as one (3, H', W') picture.

    `columns` None makes it about square; `gap` is in pixels; `paper` is the grey level between and around.
    """
    images = list(images_u8)
    if not images:
        raise BadArgument("a grid needs at least one image, got none.")
    if len({image.shape[-2:] for image in images}) > 1:
        raise BadArgument("the images of a grid must be of one size; resize them first.")
    height, width = images[0].shape[-2:]
    across = min(len(images), columns or round(len(images) ** 0.5 + 0.49))
    down = -(-len(images) // across)
    sheet = torch.full((3, gap + down * (height + gap), gap + across * (width + gap)), paper, dtype=torch.uint8)
    for place, image in enumerate(images):
        top = gap + place // across * (height + gap)
        left = gap + place % across * (width + gap)
        sheet[:, top : top + height, left : left + width] = image.cpu().expand(3, -1, -1)
    return sheet


@contextmanager
def _reading(data: bytes, name: str) -> Iterator[Image.Image]:
    """The opened, not yet decoded image. Pillow's own bomb guard may strike before the size can be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except Image.DecompressionBombError as error:
        pixels = re.search(r"\((\d+) pixels", str(error))
        said = f"{int(pixels.group(1)):,} pixels" if pixels else "too many pixels"
        raise BadFile(f"{name} has {said}; the limit is {MAX_PIXELS:,}: scale it down first.") from None
    except _UNREADABLE as error:
        held = "is empty" if not data else "is not an image that can be read"
        damaged = "" if isinstance(error, UnidentifiedImageError) else f" ({_first_line(error)})"
        raise BadFile(f"{name} {held}{damaged}; expected PNG, JPEG, WebP, BMP, GIF, TIFF or PPM.") from None
    with image:
        yield image


def _refuse_what_is_ambiguous(image: Image.Image, data: bytes, name: str) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise BadFile(f"{name} is {width}x{height} pixels; the limit is {MAX_PIXELS:,} in all: scale it down first.")
    if min(width, height) < MIN_SIDE:
        raise BadFile(f"{name} is {width}x{height} pixels; an image must be at least {MIN_SIDE}x{MIN_SIDE}.")
    try:
        frames = getattr(image, "n_frames", 1)
    except _UNREADABLE as error:
        raise BadFile(f"{name} is damaged or cut off ({_first_line(error)}); get the file again.") from None
    # Phones save photographs as MPO: a JPEG with a second view behind it, of which the first is the picture.
    if frames > 1 and image.format != "MPO":
        raise BadFile(f"{name} holds {frames} frames; a still image was expected: save the frame you mean.")
    if image.mode == "CMYK":
        raise BadFile(f"{name} is in CMYK, whose colours depend on a printer's profile; convert it to RGB first.")
    # Pillow drops the low byte of 16-bit colour in silence, and clips 16-bit grey.
    deep = image.format == "PNG" and len(data) > 24 and data[24] == 16
    if deep or image.mode not in ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr"):
        kind = "16 bits a channel" if deep else f"of the kind {image.mode!r}"
        raise BadFile(f"{name} is {kind}; expected 8-bit grey or RGB: convert it first.")


def _without_alpha(image: Image.Image, name: str, background: tuple[int, int, int] | None) -> Image.Image:
    if not image.has_transparency_data:
        return image
    rgba = image.convert("RGBA")
    if rgba.getchannel("A").getextrema() == (255, 255):
        return rgba.convert("RGB")
    if background is None:
        raise BadFile(f"{name} has transparent pixels; save it without an alpha channel, or give a background colour.")
    paper = Image.new("RGBA", rgba.size, (*background, 255))
    return Image.alpha_composite(paper, rgba).convert("RGB")


def _encoded(image_u8: Tensor, kind: Literal["PNG", "JPEG"], quality: int = 0) -> bytes:
    if image_u8.dtype != torch.uint8 or image_u8.ndim != 3 or image_u8.shape[0] not in (1, 3):
        raise BadArgument(
            f"an image to save must be uint8 (C, H, W) with C = 1 or 3, got {_dtype(image_u8)} "
            f"{tuple(image_u8.shape)}; use to_uint8."
        )
    pixels = image_u8.permute(1, 2, 0).cpu().contiguous().numpy()
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    buffer = io.BytesIO()
    if kind == "PNG":
        image.save(buffer, "PNG")
    else:
        image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _size(image: Tensor) -> str:
    return f"{image.shape[-1]}x{image.shape[-2]}"


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].strip().rstrip(".") or type(error).__name__
