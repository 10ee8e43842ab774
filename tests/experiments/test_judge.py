"""The judge: bytes in, verdicts out, by a path of its own."""

import numpy as np
import torch
from torch import nn

from advgen.core.rng import SampleRng
from advgen.core.targets import ModuleTarget
from advgen.core.types import Alarm, Defended
from advgen.experiments.judge import judge


class Brightness(nn.Module):
    """Two classes: the second when the mean is above one half."""

    def forward(self, images):
        mean = images.mean((1, 2, 3))
        return torch.stack([torch.full_like(mean, 0.5), mean], dim=1)


class Halved:
    stochastic = False
    differentiable = True

    def purify(self, images, rng):
        return images / 2

    def surrogate(self):
        return lambda images: images


class Coin:
    """Black or white, by a coin of the sample's own."""

    stochastic = True
    differentiable = False

    def purify(self, images, rng):
        return (rng.uniform(()) > 0.5).to(images).reshape(-1, 1, 1, 1).expand_as(images)

    def surrogate(self):
        return lambda images: images


class MeanScore:
    def fit(self, clean, *, rng):
        return self

    def score(self, images, rng):
        return images.mean((1, 2, 3))

    def surrogate(self):
        return self


def grey(*levels: int) -> torch.Tensor:
    return torch.tensor(levels, dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 1, 8, 8).contiguous()


def judged(defended, originals, adversarials, labels, **options):
    given = {"goal": "untargeted", "norm": None, "radius": None, "seed": 0, "repeats": 1} | options
    ids = [f"toy/test/{i}" for i in range(len(labels))]
    return judge(defended, originals, adversarials, torch.tensor(labels), ids=ids, **given)


def target() -> ModuleTarget:
    return ModuleTarget(Brightness(), ("dark", "bright"), (1, 8, 8))


def test_success_is_a_prediction_that_differs_from_the_label_on_the_saved_bytes():
    rows = judged(Defended(target()), grey(100, 100, 200), grey(100, 200, 100), [0, 0, 1])
    assert [r.success_saved for r in rows] == [False, True, True]
    assert [r.clean_prediction for r in rows] == [0, 0, 1]
    assert [r.prediction for r in rows] == [0, 1, 0]


def test_a_targeted_goal_needs_the_wanted_class():
    rows = judged(
        Defended(target()), grey(100, 100), grey(200, 100), [0, 0], goal="targeted", wanted=torch.tensor([1, 1])
    )
    assert [r.success_saved for r in rows] == [True, False]


def test_purifiers_stand_before_the_target_and_not_before_the_detector():
    alarm = Alarm(MeanScore(), threshold=0.7, sigma=0.1, fpr=0.05, calibrated_on="toy")
    rows = judged(Defended(target(), (Halved(),), (alarm,)), grey(100, 100), grey(170, 230), [0, 0])
    assert [r.prediction for r in rows] == [0, 0]
    assert [r.rejected for r in rows] == [False, True]
    np.testing.assert_allclose([r.alarm for r in rows], [(170 / 255 - 0.7) / 0.1, (230 / 255 - 0.7) / 0.1], rtol=1e-5)


def test_a_rejected_image_has_not_succeeded():
    alarm = Alarm(MeanScore(), threshold=0.7, sigma=0.1, fpr=0.05, calibrated_on="toy")
    rows = judged(Defended(target(), (), (alarm,)), grey(100, 100), grey(150, 230), [0, 0])
    assert [r.success_saved for r in rows] == [True, False]
    assert [r.prediction for r in rows] == [1, 1]


def test_distances_are_those_of_the_bytes():
    (row,) = judged(Defended(target()), grey(100), grey(103), [0], norm="Linf", radius=3 / 255)
    assert row.linf == 3 / 255
    assert row.l2 == np.sqrt(64 * (3 / 255) ** 2)
    assert row.l1 == 64 * 3 / 255
    assert row.l0 == 64
    assert row.inside


def test_a_radius_off_the_grid_counts_in_whole_grey_levels():
    rows = judged(Defended(target()), grey(100, 100), grey(102, 103), [0, 0], norm="Linf", radius=0.01)
    assert [r.inside for r in rows] == [True, False]


def test_a_random_defense_has_a_probability_of_success_and_no_first_hit():
    rows = judged(Defended(target(), (Coin(),)), grey(*[100] * 50), grey(*[100] * 50), [0] * 50, repeats=40)
    share = np.array([r.success_probability for r in rows])
    assert rows[0].repeats == 40
    assert 0.4 < share.mean() < 0.6
    assert share.max() < 1.0
    assert all(r.success_saved == (r.success_probability > 0.5) for r in rows)


def test_a_deterministic_pipeline_is_asked_once():
    (row,) = judged(Defended(target()), grey(100), grey(200), [0], repeats=40)
    assert row.repeats == 1


def test_a_detector_with_one_logit_is_fooled_when_its_sign_changes():
    class OneLogit(nn.Module):
        def forward(self, images):
            return images.mean((1, 2, 3))[:, None] - 0.5

    detector = ModuleTarget(OneLogit(), ("fake",), (1, 8, 8), decision="sign")
    rows = judged(Defended(detector), grey(200, 200, 100), grey(100, 250, 200), [1, 1, 0])
    assert [r.success_saved for r in rows] == [True, False, True]
    rows = judged(Defended(detector), grey(200, 200), grey(100, 250), [1, 1], goal="pass-as-real")
    assert [r.success_saved for r in rows] == [True, False]


def test_what_is_not_finite_has_fooled_nobody():
    class Broken(nn.Module):
        def forward(self, images):
            return torch.full((len(images), 2), torch.nan)

    rows = judged(Defended(ModuleTarget(Broken(), ("a", "b"), (1, 8, 8))), grey(100), grey(200), [0])
    assert rows[0].success_saved is False


def test_a_rows_verdict_does_not_depend_on_its_batch():
    together = judged(
        Defended(target(), (Coin(),)), grey(*range(90, 150)), grey(*range(100, 160)), [0] * 60, batch_size=60
    )
    apart = judged(Defended(target(), (Coin(),)), grey(*range(90, 150)), grey(*range(100, 160)), [0] * 60, batch_size=7)
    assert together == apart


def test_the_targets_mode_is_left_as_it_was():
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 2)).train()
    before = network[1].running_mean.clone()
    judged(Defended(ModuleTarget(network, ("a", "b"), (1, 8, 8))), grey(100, 50), grey(200, 20), [0, 1])
    assert network.training
    assert torch.equal(network[1].running_mean, before)
    assert all(p.requires_grad for p in network.parameters())


def test_streams_of_the_judge_are_not_those_of_the_attack():
    ids = ["toy/test/0"]
    draws = [SampleRng.for_samples(0, purpose, ids).uniform((4,)) for purpose in ("attack", "judge/0", "judge/1")]
    assert not torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[1], draws[2])
