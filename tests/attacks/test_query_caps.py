"""Attacks from scores and decisions count what each sample was asked, and stay under a cap."""

from dataclasses import replace

import pytest
import torch

from advgen.attacks.blackbox.hopskipjump import HopSkipJump
from advgen.attacks.blackbox.nes import NES
from advgen.attacks.blackbox.square import Square
from advgen.contracts import toys
from advgen.contracts.subjects import goal_of, make_ball
from advgen.core.budgets import L2
from advgen.core.errors import BadArgument
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng

CAP = 400
CAPPED = {
    "square": (Square(make_ball("Linf", 0.02), queries=CAP), "Linf"),
    "nes": (NES(make_ball("Linf", 0.02), steps=1000, sigma=0.01, queries=CAP), "Linf"),
    "hopskipjump": (HopSkipJump(norm="L2", steps=1000, probes=20, queries=CAP), "L2"),
}


def run(attack, placed, at=slice(None)):
    target, meter = toys.linear(), Meter()
    rng = SampleRng.for_samples(0, "attack", placed.ids[at])
    goal = goal_of(target, placed.labels[at])
    return attack.run(target, placed.images[at], goal, rng=rng, meter=meter), meter


@pytest.mark.parametrize("name", CAPPED)
def test_no_sample_is_asked_more_often_than_the_cap_and_the_count_is_the_meters(name):
    attack, norm = CAPPED[name]
    placed = toys.boundary_images(toys.linear(), norm, 4)
    for i in range(4):
        result, meter = run(attack, placed, slice(i, i + 1))
        assert int(result.note["queries"]) == meter.forwards
        assert CAP / 3 < meter.forwards <= CAP


@pytest.mark.parametrize("name", CAPPED)
def test_a_samples_count_does_not_depend_on_its_batch(name):
    attack, norm = CAPPED[name]
    placed = toys.boundary_images(toys.linear(), norm, 4)
    together = run(attack, placed)[0].note["queries"]
    alone = [run(attack, placed, slice(i, i + 1))[0].note["queries"] for i in range(4)]
    assert torch.equal(together, torch.cat(alone))


def test_more_queries_come_nearer():
    placed = toys.boundary_images(toys.linear(), "L2", 4)
    attack = HopSkipJump(norm="L2", steps=1000, probes=20)
    far, near = (run(replace(attack, queries=q), placed)[0].images for q in (200, 3000))
    distance = L2(1.0).distance
    assert (distance(near, placed.images) <= distance(far, placed.images)).all()
    assert distance(near, placed.images).mean() < 0.9 * distance(far, placed.images).mean()


def test_a_cap_of_nothing_is_refused():
    with pytest.raises(BadArgument, match="queries of blackbox/nes must be 1 or more, got 0"):
        NES(make_ball("Linf", 0.02), queries=0)
    with pytest.raises(BadArgument, match="queries of blackbox/hopskipjump must be 1 or more, got -1"):
        HopSkipJump(queries=-1)
