"""What goes wrong in evaluations: logits that are not finite, and outputs that do not depend on the input."""

from dataclasses import replace

import pytest
import torch

from advgen.contracts import toys
from advgen.contracts.contract import bad_images
from advgen.contracts.subjects import attempt, known_scenes, variants
from advgen.core import registry

OURS = [
    p.name
    for p in registry.listing("attacks")
    if not p.broken and p.name.partition("/")[0] in ("image", "minimum", "blackbox", "perceptual", "ensemble")
]


class NotFinite:
    """The toy, with logits that are not numbers where an image's first value is above a half."""

    def __init__(self, base):
        self.base = base

    def __getattr__(self, name):
        return getattr(self.base, name)

    def take(self, index):
        return self

    def __call__(self, images, rng=None):
        outputs = self.base(images, rng)
        bad = (images[:, 0, 0, 0] > 0.5)[:, None]
        return outputs._replace(logits=torch.where(bad, outputs.logits * torch.nan, outputs.logits))


def scene_of(name, n=4):
    variant = variants(registry.load_class("attacks", name))[0]
    return variant, known_scenes(variant, n)[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", OURS)
def test_logits_that_are_not_finite_win_nothing_and_do_no_harm(name):
    variant, found = scene_of(name)
    tried = attempt(variant.build(), found._replace(target=NotFinite(found.target)))
    assert bad_images(tried.images, found.placed.images) == ""
    not_finite = tried.images[:, 0, 0, 0] > 0.5
    assert not (tried.reached & not_finite).any()


@pytest.mark.slow
@pytest.mark.parametrize("name", OURS)
def test_an_output_that_does_not_depend_on_the_input_is_not_beaten(name):
    variant, found = scene_of(name)
    constant = replace(found.target, said=lambda logits: torch.zeros_like(logits).index_fill(1, torch.tensor([0]), 1.0))
    placed = found.placed._replace(labels=torch.zeros_like(found.placed.labels))
    goal = replace(found.goal, labels=placed.labels, wanted=None, name="untargeted")
    tried = attempt(variant.build(), found._replace(target=constant, placed=placed, goal=goal))
    assert bad_images(tried.images, placed.images) == ""
    assert not tried.reached.any()
    if "zero_gradient" in tried.note:
        assert tried.note["zero_gradient"].all()


def test_the_targets_here_are_what_they_say():
    target = NotFinite(toys.linear())
    images = torch.full((2, *toys.SHAPE), 0.4)
    images[1, 0, 0, 0] = 0.6
    assert target(images).logits.isfinite().all(1).tolist() == [True, False]
