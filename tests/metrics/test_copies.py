"""A copier is found, an honest sampler is not, and distances are those of a plain loop."""

import pytest
import torch
from scipy.stats import mannwhitneyu
from torch import Tensor, nn

from advgen.core.errors import BadArgument
from advgen.metrics import copies
from advgen.metrics.copies import copy_check, nearest
from advgen.metrics.features import from_module


def drawn(seed: int, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 4, 4), generator=generator, dtype=torch.uint8)


PIXELS = from_module(nn.Flatten(), "flat")


@pytest.mark.parametrize("elements", [2**23, 48 * 7])
def test_nearest_is_that_of_a_full_distance_matrix(elements: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever fits into a chunk."""
    monkeypatch.setattr(copies, "_ELEMENTS", elements)
    monkeypatch.setattr(copies, "_QUERIES", 11)
    queries, known = drawn(0, 50).flatten(1), drawn(1, 80).flatten(1)
    distances, where = nearest(queries, known)
    full = torch.cdist(queries.double(), known.double())
    assert torch.allclose(distances, full.amin(1))
    assert torch.equal(where, full.argmin(1))


def test_an_exact_copy_is_at_distance_0_however_bright() -> None:
    known = 255 - drawn(1, 300) // 8
    distances, where = nearest(known[[5, 200]].flatten(1), known.flatten(1))
    assert distances.tolist() == [0.0, 0.0]
    assert where.tolist() == [5, 200]


def test_fresh_draws_look_like_held_out_images() -> None:
    for report in copy_check(drawn(1, 400), drawn(0, 500), drawn(2, 400), features=PIXELS):
        assert report.suspect_interval[0] <= 0.01 <= report.suspect_interval[1]
        assert 0.45 < report.nearer < 0.55
        assert report.exact == 0


def test_copies_with_noise_are_suspect_and_lead_to_their_originals() -> None:
    training = drawn(0, 500)
    nudge = torch.randint(0, 3, (100, 3, 4, 4), generator=torch.Generator().manual_seed(9), dtype=torch.uint8)
    copied = training[:100].clamp(max=250) + nudge
    for report in copy_check(torch.cat([copied, drawn(1, 100)]), training, drawn(2, 300), features=PIXELS):
        assert 0.49 < report.suspect < 0.55
        assert report.nearer == pytest.approx(0.75, abs=0.05)
        assert torch.equal(report.nearest[:100], torch.arange(100))


def test_pixels_are_measured_as_root_mean_square_in_units_of_1() -> None:
    training = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    in_pixels, in_features = copy_check(training + 51, training, training.repeat(100, 1, 1, 1) + 102, features=PIXELS)
    assert in_pixels.generated_median == pytest.approx(0.2)
    assert in_pixels.held_out_median == pytest.approx(0.4)
    assert in_features.generated_median == pytest.approx(0.2 * 48**0.5)
    assert (in_pixels.suspect, in_pixels.nearer) == (1.0, 1.0)


def test_nearer_is_the_u_statistic_of_scipy_with_ties() -> None:
    generated, training, held_out = drawn(1, 60) // 64 * 64, drawn(0, 40) // 64 * 64, drawn(2, 120) // 64 * 64
    report, _ = copy_check(generated, training, held_out, features=PIXELS)
    usual = nearest(held_out.flatten(1), training.flatten(1))[0]
    ours = nearest(generated.flatten(1), training.flatten(1))[0]
    assert report.nearer == pytest.approx(mannwhitneyu(usual, ours).statistic / (60 * 120))


def test_mirror_images_are_copies_only_when_asked_for() -> None:
    training = drawn(0, 200)
    plain, mirrored = (
        copy_check(training[:50].flip(3), training, drawn(2, 200), features=PIXELS, mirrored=flag)[0]
        for flag in (False, True)
    )
    assert (plain.exact, mirrored.exact) == (0, 50)
    assert mirrored.distances.max() == 0
    assert plain.distances.min() > 0


def test_bad_input_is_refused() -> None:
    with pytest.raises(BadArgument, match="100 held-out"):
        copy_check(drawn(0, 5), drawn(1, 5), drawn(2, 99), features=PIXELS)
    with pytest.raises(BadArgument, match="the held-out ones are"):
        copy_check(drawn(0, 5), drawn(1, 5), drawn(2, 100)[:, :1], features=PIXELS)
