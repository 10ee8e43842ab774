"""The control of the augmentation's strength."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advgen.core.errors import BadArgument
from advgen.generators.stylegan2.ada import AugmentationStrength


def test_p_rises_when_the_discriminator_is_too_sure_and_falls_when_it_is_not():
    strength = AugmentationStrength(images=1000, p=0.5)
    assert [round(strength.observe(0.7, 10), 6) for _ in range(8)] == [0.5] * 3 + [0.54] * 4 + [0.58]
    assert [round(strength.observe(0.5, 10), 6) for _ in range(8)] == [0.58] * 3 + [0.54] * 4 + [0.5]


def test_at_the_target_p_stays():
    strength = AugmentationStrength(target=0.5, interval=2, p=0.3)
    assert [strength.observe(sign, 64) for sign in (0.25, 0.75)] == [0.3, 0.3]


def test_the_mean_over_the_interval_decides():
    strength = AugmentationStrength(target=0.6, interval=3, images=300, p=0.5)
    for sign in (1.0, 1.0, -0.1):
        strength.observe(sign, 10)
    assert strength.p == pytest.approx(0.6)


def test_from_nothing_to_everything_takes_the_stated_number_of_images():
    strength = AugmentationStrength(images=4096)
    steps = 0
    while strength.p < 1:
        strength.observe(1.0, 32)
        steps += 1
    assert steps * 32 == 4096


@given(st.lists(st.floats(-1, 1), max_size=60), st.integers(1, 10**6), st.floats(0, 1))
def test_p_never_leaves_its_bounds(signs, batch, start):
    strength = AugmentationStrength(interval=2, images=10_000, p=start)
    assert all(0 <= strength.observe(sign, batch) <= 1 for sign in signs)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30), st.integers(0, 30))
def test_a_resumed_control_goes_on_as_if_never_stopped(signs, at):
    whole, first, second = (AugmentationStrength(images=1000) for _ in range(3))
    expected = [whole.observe(sign, 7) for sign in signs]
    made = [first.observe(sign, 7) for sign in signs[:at]]
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert made + [second.observe(sign, 7) for sign in signs[at:]] == expected


@pytest.mark.parametrize("arguments", [{"interval": 0}, {"images": 0}, {"p": 1.5}])
def test_arguments_that_make_no_sense_are_refused(arguments):
    with pytest.raises(BadArgument):
        AugmentationStrength(**arguments)
