"""Detectors of generated images: their features against SciPy, their linear answer against scikit-learn."""

import numpy as np
import pytest
import torch
from scipy.fft import dctn
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score

from advgen.contracts.parts import LeastSquares, LinearGenerator, WordHash, root_mean_square
from advgen.core.errors import BadArgument
from advgen.core.linear_detectors import STRENGTHS, ridge
from advgen.core.rng import SampleRng
from advgen.defenses.detect.clip_linear import CLIPLinear
from advgen.defenses.detect.inversion import Inversion
from advgen.defenses.detect.spectrum import FLOOR, Spectrum, log_dct, log_rings

SIDE = 16


def rng(n):
    return SampleRng.for_samples(0, "defense", [str(i) for i in range(n)])


def noise(n, seed, side=SIDE):
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(seed))


def upsampled(n, seed):
    """Images at half the size, each pixel twice: the crudest trace that a generator leaves."""
    return noise(n, seed, SIDE // 2).repeat_interleave(2, 2).repeat_interleave(2, 3)


def test_the_coefficients_are_those_of_the_orthonormal_dct():
    images = noise(3, 0)
    expected = np.log(dctn(images.double().numpy(), axes=(2, 3), norm="ortho") ** 2 + FLOOR)
    # float32 sums of 256 products, before a logarithm of what may be small
    np.testing.assert_allclose(log_dct(images).numpy(), expected.reshape(3, -1), atol=2e-2)


@pytest.mark.parametrize("k", [1, 3, 7])
def test_a_wave_of_k_periods_has_its_power_in_ring_k(k):
    wave = torch.cos(2 * torch.pi * k * torch.arange(SIDE) / SIDE).expand(1, 3, SIDE, SIDE)
    assert int(log_rings(wave)[0].argmax()) == k


def test_the_answer_is_ridge_regression_with_the_smallest_leave_one_out_error():
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(14, 6, generator=generator), torch.randn(10, 6, generator=generator) + 0.7
    rows = torch.cat([first, second]).double().numpy()
    rows = (rows - rows.mean(0)) / rows.std(0, ddof=1)
    wanted = np.array([-1.0] * 14 + [1.0] * 10)
    unit = np.linalg.eigvalsh(rows @ rows.T).mean()

    def left_out(strength):
        """Centred once, as the shortcut is: only the weights are fitted again."""
        apart = np.arange(24)
        return np.mean(
            [
                (wanted[i] - Ridge(alpha=strength * unit).fit(rows[apart != i], wanted[apart != i]).predict(rows[[i]]))
                ** 2
                for i in range(24)
            ]
        )

    best = min(STRENGTHS, key=left_out)
    expected = Ridge(alpha=best * unit).fit(rows, wanted).predict(rows)
    np.testing.assert_allclose(ridge(first, second)(torch.cat([first, second])).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("statistic", ["dct", "azimuthal"])
def test_upsampling_is_seen_in_the_spectrum(statistic):
    fitted = Spectrum(statistic, fakes=upsampled(40, 1)).fit(noise(40, 2), rng=rng(40))
    scores = fitted.score(torch.cat([noise(40, 3), upsampled(40, 4)]), rng(80))
    assert roc_auc_score([0] * 40 + [1] * 40, scores.numpy()) > 0.99


def test_what_clip_sees_tells_dark_from_bright():
    fitted = CLIPLinear(fakes=0.3 * noise(40, 1, 8), image_text_encoder=WordHash()).fit(noise(40, 2, 8), rng=rng(40))
    scores = fitted.score(torch.cat([noise(40, 3, 8), 0.3 * noise(40, 4, 8)]), rng(80))
    assert roc_auc_score([0] * 40 + [1] * 40, scores.numpy()) > 0.9


@pytest.mark.parametrize("distance", ["rms", "perceptual"])
def test_what_the_generator_makes_is_more_suspect_than_what_it_cannot(distance):
    generator = LinearGenerator()
    detector = Inversion(
        distance, generator=generator, inverter=LeastSquares(generator), perceptual=root_mean_square
    ).fit(noise(8, 0, 8), rng=rng(8))
    made = generator.synthesis(generator.mapping(0.3 * torch.randn(8, 8, generator=torch.Generator().manual_seed(1))))
    scores = detector.score(torch.cat([noise(8, 2, 8), made]), rng(16))
    assert scores[8:].min() > scores[:8].max()


def test_images_of_two_sizes_are_refused():
    with pytest.raises(BadArgument, match="generator of the same size"):
        Spectrum(fakes=noise(4, 0, 8)).fit(noise(4, 1), rng=rng(4))


@pytest.mark.parametrize("detector", [Spectrum(), CLIPLinear(image_text_encoder=WordHash())])
def test_without_generated_images_there_is_nothing_to_learn(detector):
    with pytest.raises(BadArgument, match="generated images"):
        detector.fit(noise(4, 1), rng=rng(4))


@pytest.mark.parametrize("detector", [Spectrum(), CLIPLinear()])
def test_a_detector_that_has_learned_nothing_does_not_score(detector):
    with pytest.raises(BadArgument, match="fitted"):
        detector.score(noise(2, 1), rng(2))


def test_statistics_and_methods_are_checked():
    with pytest.raises(BadArgument, match="dct or azimuthal"):
        Spectrum("wavelet")
    with pytest.raises(BadArgument, match="rms or perceptual"):
        Inversion("lpips")
    with pytest.raises(BadArgument, match="encoder, hybrid"):
        Inversion(inversion="projector")
