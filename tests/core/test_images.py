import errno
import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from advgen.core import images
from advgen.core.errors import BadArgument, BadFile, MissingFile, UserError


def random_u8(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(5), dtype=torch.uint8)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_header(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG that claims a size and has next to no data."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(np.uint8, st.tuples(st.sampled_from([1, 3]), st.integers(8, 20), st.integers(8, 20))))
def test_a_png_gives_back_every_byte(pixels: np.ndarray) -> None:
    image = torch.from_numpy(pixels)
    assert torch.equal(images.from_png_bytes(images.png_bytes(image), channels=len(image)), image)


def test_a_saved_file_gives_back_every_byte_and_the_folder_is_made(tmp_path: Path) -> None:
    image = random_u8(3, 9, 12)
    images.save_png(image, tmp_path / "deep" / "folder" / "x.png")
    assert torch.equal(images.load(tmp_path / "deep" / "folder" / "x.png"), image)
    assert os.listdir(tmp_path / "deep" / "folder") == ["x.png"]


def test_grey_is_repeated_unless_one_channel_is_asked_for(tmp_path: Path) -> None:
    grey = random_u8(1, 10, 11)
    images.save_png(grey, tmp_path / "grey.png")
    assert torch.equal(images.load(tmp_path / "grey.png"), grey.expand(3, -1, -1))
    assert torch.equal(images.load(tmp_path / "grey.png", channels=1), grey)


def test_a_photograph_is_turned_upright_by_its_exif_orientation() -> None:
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:8] = 255
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[0x0112] = 6  # the top row of the file is the right side of the picture
    upright = images.decode(encoded(image, "PNG", exif=exif), "x")
    assert upright.shape == (3, 24, 16)
    assert upright[0, 0, 15] == 255
    assert upright[0, 0, 0] == 0


BAD = {
    "text.png": (b"these are words, not pixels", "is not an image that can be read; expected PNG, JPEG"),
    "empty.png": (b"", "is empty; expected PNG, JPEG"),
    "script.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not an image that can be read"),
    "dot.png": (encoded(Image.new("RGB", (1, 1)), "PNG"), "is 1x1 pixels; an image must be at least 8x8"),
    "wide.png": (encoded(Image.new("RGB", (90, 7)), "PNG"), "is 90x7 pixels; an image must be at least 8x8"),
    "bomb.png": (png_header(20000, 20000), "has 400,000,000 pixels; the limit is 64,000,000"),
    "large.png": (png_header(10000, 10000), "is 10000x10000 pixels; the limit is 64,000,000"),
    "press.jpg": (encoded(Image.new("CMYK", (9, 9)), "JPEG"), "is in CMYK"),
    "deep.png": (png_header(9, 9, depth=16), "is 16 bits a channel; expected 8-bit"),
    "grey16.png": (encoded(Image.fromarray(np.zeros((9, 9), np.uint16)), "PNG"), "is 16 bits a channel"),
    "float.tif": (encoded(Image.new("F", (9, 9)), "TIFF"), "is of the kind 'F'; expected 8-bit"),
    "moving.gif": (
        encoded(
            Image.new("L", (9, 9)), "GIF", save_all=True, append_images=[Image.new("L", (9, 9), 90 * k) for k in (1, 2)]
        ),
        "holds 3 frames; a still image was expected",
    ),
    "glass.png": (encoded(Image.new("RGBA", (9, 9), (9, 9, 9, 128)), "PNG"), "has transparent pixels"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_in_one_sentence_that_names_it(name: str, tmp_path: Path) -> None:
    data, sentence = BAD[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadFile) as caught:
        images.load(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_a_file_cut_at_any_byte_is_refused_or_still_gives_every_pixel(kind: str) -> None:
    pixels = random_u8(24, 24, 3).numpy()
    whole = encoded(Image.fromarray(pixels), kind)
    expected = images.decode(whole, "whole")
    refused = 0
    for length in {*range(0, len(whole), max(1, len(whole) // 60)), len(whole) - 1, len(whole) - 3, len(whole) - 20}:
        try:
            cut = images.decode(whole[:length], "cut")
        except BadFile:
            refused += 1
        else:
            assert torch.equal(cut, expected)
    assert refused >= 50


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match="there is no image"):
        images.load(tmp_path / "none.png")
    with pytest.raises(BadFile, match="is a folder, not an image"):
        images.load(tmp_path)


def test_opaque_alpha_changes_nothing_and_transparency_is_laid_on_the_background() -> None:
    rgba = random_u8(9, 9, 4).numpy()
    rgba[..., 3] = 255
    rgb = torch.from_numpy(rgba[..., :3].copy()).permute(2, 0, 1)
    assert torch.equal(images.decode(encoded(Image.fromarray(rgba), "PNG"), "x"), rgb)
    rgba[..., 3] = 0
    laid = images.decode(encoded(Image.fromarray(rgba), "PNG"), "x", background=(1, 2, 3))
    assert torch.equal(laid, torch.tensor([1, 2, 3], dtype=torch.uint8)[:, None, None].expand(3, 9, 9))


def test_a_palette_image_keeps_its_colours() -> None:
    pixels = np.zeros((9, 9, 3), np.uint8)
    pixels[:4] = (200, 30, 10)
    image = Image.fromarray(pixels).convert("P", palette=Image.Palette.ADAPTIVE, colors=2)
    assert torch.equal(images.decode(encoded(image, "GIF"), "x"), torch.from_numpy(pixels).permute(2, 0, 1))


def test_a_folder_is_read_in_the_order_of_its_relative_paths(tmp_path: Path) -> None:
    for name in ("b/2.png", "b/10.PNG", "a.png", ".hidden.png", ".cache/x.png"):
        images.save_png(random_u8(3, 8, 8), tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image")
    folder = images.load_folder(tmp_path)
    assert folder.ids == ("a.png", "b/10.PNG", "b/2.png")
    assert folder.images_u8.shape == (3, 3, 8, 8)


def test_a_folder_without_images_says_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"holds nothing; expected files that end in \.png"):
        images.image_files(tmp_path)
    (tmp_path / "notes.txt").write_text("not an image")
    with pytest.raises(BadFile, match=r"holds 1 file\(s\), none of them an image"):
        images.image_files(tmp_path)
    with pytest.raises(MissingFile, match="there is no folder"):
        images.image_files(tmp_path / "nowhere")
    with pytest.raises(BadFile, match="is a file; a folder of images was expected"):
        images.image_files(tmp_path / "notes.txt")


def test_images_of_different_sizes_need_a_size(tmp_path: Path) -> None:
    images.save_png(random_u8(3, 8, 8), tmp_path / "a.png")
    images.save_png(random_u8(3, 16, 12), tmp_path / "b.png")
    with pytest.raises(BadFile, match=r"a.png is 8x8, b.png is 12x16\); give a size"):
        images.load_folder(tmp_path)
    assert images.load_folder(tmp_path, size=10).images_u8.shape == (2, 3, 10, 10)


def test_saving_where_nothing_can_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot write"):
        images.save_png(random_u8(3, 8, 8), tmp_path / "file" / "x.png")
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(UserError, match="cannot write"):
        images.save_png(random_u8(3, 8, 8), tmp_path / "taken.png")
    assert sorted(os.listdir(tmp_path)) == ["file", "taken.png"]


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"cannot write .*x\.png: No space left on device; give a folder"):
        images.save_png(random_u8(3, 8, 8), tmp_path / "x.png")
    assert os.listdir(tmp_path) == []


def test_only_bytes_are_saved() -> None:
    with pytest.raises(BadArgument, match=r"must be uint8 \(C, H, W\) with C = 1 or 3, got float32 \(3, 8, 8\)"):
        images.png_bytes(torch.zeros(3, 8, 8))


def test_rounding_is_to_the_nearest_byte_and_returns_every_byte_unchanged() -> None:
    every = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(images.to_uint8(images.to_float(every)), every)
    assert images.to_uint8(torch.tensor([0.9999, 0.999, 0.5019, -1e-7, 1 + 1e-7])).tolist() == [255, 255, 128, 0, 255]


@settings(max_examples=50, deadline=None)
@given(hnp.arrays(np.float32, st.integers(1, 40), elements=st.floats(0, 1, width=32)))
def test_rounding_moves_no_value_by_more_than_half_a_grey_level(values: np.ndarray) -> None:
    floats = torch.from_numpy(values)
    moved = images.to_uint8(floats).double() - floats.double() * 255
    assert moved.abs().max() <= 0.5 + 1e-4  # the product is rounded to float32 first


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([0.0, 255.0], r"from 0 to 255; divide 0-255 images by 255, and undo a normalisation"),
        ([-2.1, 2.6], r"from -2.1 to 2.6; divide"),
        ([0.0, float("nan")], r"got NaN in 1 of 2 values"),
        ([0.0, float("inf")], r"from 0 to inf"),
    ],
)
def test_values_outside_the_range_are_refused_with_the_range_found(values: list[float], sentence: str) -> None:
    with pytest.raises(BadArgument, match=sentence):
        images.to_uint8(torch.tensor(values))


def test_bytes_where_floats_are_meant_are_refused() -> None:
    with pytest.raises(BadArgument, match="got uint8; divide bytes by 255"):
        images.to_uint8(random_u8(3, 8, 8))
    with pytest.raises(BadArgument, match=r"\(N, C, H, W\) with C = 1 or 3, got \(3, 8, 8\)"):
        images.check_images(torch.zeros(3, 8, 8))
    images.check_images(torch.zeros(0, 3, 8, 8))


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_what_pillow_makes_of_each_image_alone(channels: int) -> None:
    batch = images.resize(random_u8(4, channels, 5, 5), 24)
    through = images.jpeg(batch, 75)
    for before, after in zip(batch, through, strict=True):
        array = before.permute(1, 2, 0).numpy()
        image = Image.fromarray(array[..., 0] if channels == 1 else array)
        with Image.open(io.BytesIO(encoded(image, "JPEG", quality=75))) as decoded:
            assert torch.equal(after, torch.from_numpy(np.array(decoded).reshape(24, 24, channels)).permute(2, 0, 1))
    coarse, fine = images.jpeg(batch, 10), images.jpeg(batch, 95)
    assert (fine.int() - batch.int()).abs().sum() < (coarse.int() - batch.int()).abs().sum()


def test_jpeg_of_nothing_is_nothing_and_its_quality_has_limits() -> None:
    assert images.jpeg(random_u8(0, 3, 8, 8), 75).shape == (0, 3, 8, 8)
    with pytest.raises(BadArgument, match="quality must be 1 to 95, got 100"):
        images.jpeg(random_u8(1, 3, 8, 8), 100)


def test_scaling_down_by_a_whole_factor_keeps_a_flat_picture_and_does_not_alias() -> None:
    stripes = torch.zeros(1, 3, 64, 64)
    stripes[..., ::2] = 1
    small = images.resize(stripes, 16)
    assert (small - 0.5).abs().max() < 0.1  # without antialiasing it would be all 0 or all 1
    flat = torch.full((1, 3, 64, 64), 0.25)
    assert (images.resize(flat, (16, 24)) - 0.25).abs().max() < 1e-6  # float32 sums of filter weights


def test_resizing_to_the_same_size_changes_nothing_and_bytes_stay_bytes() -> None:
    image = random_u8(3, 12, 12)
    assert torch.equal(images.resize(image, 12), image)
    assert images.resize(image, 6).dtype == torch.uint8
    assert images.centre_square(random_u8(2, 3, 12, 20), 12).shape == (2, 3, 12, 12)
    assert torch.equal(images.centre_square(random_u8(3, 12, 20), 12), random_u8(3, 12, 20)[..., 4:16])


def test_a_difference_is_grey_where_nothing_changed_and_ten_times_what_did() -> None:
    original = torch.full((3, 8, 8), 100, dtype=torch.uint8)
    changed = original.clone()
    changed[0, 0, :3] = torch.tensor([101, 98, 0], dtype=torch.uint8)
    shown = images.difference(changed, original)
    assert shown[0, 0, :4].tolist() == [138, 108, 0, 128]


def test_a_grid_holds_every_image_at_its_place() -> None:
    tiles = [random_u8(3, 8, 10), random_u8(1, 8, 10), random_u8(3, 8, 10)]
    sheet = images.grid(tiles, columns=2, gap=1)
    assert sheet.shape == (3, 1 + 2 * 9, 1 + 2 * 11)
    assert torch.equal(sheet[:, 1:9, 1:11], tiles[0])
    assert torch.equal(sheet[:, 1:9, 12:22], tiles[1].expand(3, -1, -1))
    assert torch.equal(sheet[:, 10:18, 1:11], tiles[2])
    assert (sheet[:, 10:18, 12:22] == 255).all()
    assert images.grid(random_u8(5, 3, 8, 8)).shape[1:] == (2 + 2 * 10, 2 + 3 * 10)


def test_the_published_faces_are_read_as_pillow_reads_them(shared_data: Path) -> None:
    faces = shared_data / "images" / "faces"
    names = images.image_files(faces)
    assert len(names) == 400
    for name in (names[0], names[-1]):
        with Image.open(faces / name) as image:
            expected = np.array(image.convert("RGB"))
        assert torch.equal(images.load(faces / name), torch.from_numpy(expected).permute(2, 0, 1))
