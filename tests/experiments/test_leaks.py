"""The leak audit finds what is planted in files, and nothing in files of one pipeline."""

import io

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from advgen.core.errors import BadArgument
from advgen.experiments.leaks import FEATURES, jpeg_grid, leak_audit

N = 40


def pictures(seed, side=32, n=N):
    """Smooth random pictures: noise at a quarter of the size, enlarged."""
    rng = np.random.default_rng(seed)
    return [
        Image.fromarray(rng.integers(0, 256, (side // 4, side // 4, 3), dtype=np.uint8)).resize((side, side))
        for _ in range(n)
    ]


def saved(images, kind="PNG", **options):
    files = []
    for image in images:
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        files.append(buffer.getvalue())
    return files


def through_jpeg(images, quality):
    return [Image.open(io.BytesIO(data)).convert("RGB") for data in saved(images, "JPEG", quality=quality)]


def framed(images):
    for image in images:
        image.paste((0, 0, 0), (0, 0, image.width, 3))
    return images


def note():
    info = PngInfo()
    info.add_text("maker", "a generator")
    return info


PLANTED = {
    "format": lambda: saved(pictures(2), "BMP"),
    "width": lambda: saved([i.resize((40, 32)) for i in pictures(2)]),
    "height": lambda: saved([i.resize((32, 40)) for i in pictures(2)]),
    "colours": lambda: saved([i.convert("L") for i in pictures(2)]),
    "quality": lambda: saved(pictures(2), "JPEG", quality=80),
    "grid": lambda: saved(through_jpeg(pictures(2), 20)),
    "border": lambda: saved(framed(pictures(2))),
    "metadata": lambda: saved(pictures(2), pnginfo=note()),
}


@pytest.mark.parametrize("feature", PLANTED)
def test_a_planted_leak_is_found(feature):
    found = leak_audit(saved(pictures(1)), PLANTED[feature]())
    assert abs(found.features[feature].value - 0.5) > 0.4
    assert found.together.low > 0.5


def test_every_feature_has_its_planted_leak():
    assert set(PLANTED) == set(FEATURES)


def test_files_of_one_pipeline_are_at_chance():
    """Over seeds: the interval of 19 in 20 holds a half, here of at least 16 in 20."""
    held = 0
    for seed in range(20):
        found = leak_audit(saved(pictures(2 * seed)), saved(pictures(2 * seed + 1)), seed=seed)
        held += found.together.low <= 0.5
    assert held >= 16


def test_files_that_are_alike_in_all_of_it_give_no_evidence():
    flat = saved([Image.new("RGB", (16, 16), (90, 90, 90))] * N)
    found = leak_audit(flat, flat)
    assert found.together.value == 0.5
    assert found.together.low < 0.5


@pytest.mark.parametrize("quality", [50, 75, 90, 95])
def test_the_grid_shows_after_jpeg_and_not_before(quality):
    rng = np.random.default_rng(0)
    for image in pictures(3, side=64, n=5):
        grainy = Image.fromarray(np.clip(np.asarray(image, float) + rng.normal(0, 3, (64, 64, 3)), 0, 255).astype("u1"))
        (again,) = through_jpeg([grainy], quality)
        assert jpeg_grid(np.asarray(grainy.convert("L"), float)) == 0
        assert jpeg_grid(np.asarray(again.convert("L"), float)) > 0


def test_too_few_files_are_refused():
    with pytest.raises(BadArgument, match="10 files or more"):
        leak_audit(saved(pictures(1, n=4)), saved(pictures(2, n=4)))
