"""Pairs, distances of people, portraits of the judge's own."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from advgen.core.errors import BadArgument
from advgen.experiments import avatars
from advgen.experiments.edits import oracle, portraits
from advgen.experiments.edits.errors import pairs, separation
from advgen.experiments.edits.portraits import PARAMETERS, POPULATION
from advgen.experiments.edits.reading import OUTPUTS, check, output_names
from advgen.zoo.networks import build


def test_every_pair_of_different_pictures_is_counted_once():
    found = pairs(torch.eye(5), torch.tensor([0, 0, 0, 1, 1]))
    assert (len(found.genuine), len(found.impostor)) == (3 + 1, 3 * 2)


def test_places_apart_by_person_are_separated_and_one_place_for_all_is_not():
    person = torch.arange(40) // 2
    apart = torch.nn.functional.one_hot(person).float()
    assert separation(apart, person) == 1
    noise = torch.nn.functional.normalize(torch.randn(40, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    assert separation(noise, person) < 0.3


def test_a_person_is_at_no_distance_of_the_own_numbers():
    people = [avatars.identity(0, k) for k in range(4)]
    numbers = oracle.standardised(people)
    apart = oracle.distances(numbers, numbers, torch.full((len(PARAMETERS),), 0.5))
    torch.testing.assert_close(apart.diagonal(), torch.zeros(4), atol=1e-4, rtol=0)
    assert apart.argmin(1).tolist() == [0, 1, 2, 3]


def test_a_number_that_cannot_be_read_weighs_less():
    people = torch.zeros(1, len(PARAMETERS))
    read, left_over = people.clone(), torch.full((len(PARAMETERS),), 0.1)
    read[0, 0] = 1
    left_over[0] = 1.0
    assert float(oracle.distances(read, people, left_over)) == pytest.approx(1 / len(PARAMETERS))


def test_the_judges_persons_are_in_no_data_set():
    judges = {avatars.identity(POPULATION, k).head_width for k in range(64)}
    assert judges.isdisjoint(avatars.identity(0, k).head_width for k in range(128))


def test_what_is_drawn_evenly_tells_nothing_about_another_attribute():
    """In the sampler's own portraits grey hair is old; in every second of the judge's it is not."""
    even = [portraits.drawn(2 * k + 1, persons=50).attributes for k in range(800)]
    grey = np.array([a.hair_colour in ("grey", "white") for a in even])
    old = np.array([a.age >= 0.7 for a in even])
    assert abs(old[grey].mean() - old[~grey].mean()) < 0.15
    natural = [portraits.drawn(2 * k, persons=50).attributes for k in range(800)]
    assert all(a.age > 0.6 for a in natural if a.hair_colour in ("grey", "white"))


def test_a_portrait_is_the_same_in_any_order():
    assert portraits.drawn(7, persons=20) == portraits.drawn(7, persons=20)
    assert portraits.drawn(7, persons=20, seed=5) != portraits.drawn(7, persons=20)


def test_each_output_of_the_network_has_a_name():
    assert len(output_names()) == len(set(output_names())) == OUTPUTS


@given(st.integers(1, 5))
def test_an_embedding_has_length_one(n):
    network = build("portrait-resnet", outputs=6, width=4, unit=True).eval()
    with torch.no_grad():
        made = network(torch.rand(n, 3, 64, 64))
    torch.testing.assert_close(made.norm(dim=1), torch.ones(n))


def test_sizes_that_cannot_be_folded_are_refused():
    with pytest.raises(BadArgument, match="multiple of 8"):
        build("portrait-resnet", outputs=6, size=60)


@pytest.mark.parametrize(
    "images", [torch.zeros(1, 3, 64, 64), torch.zeros(1, 1, 64, 64, dtype=torch.uint8), torch.zeros(3, 64, 64).byte()]
)
def test_what_are_no_saved_portraits_is_refused(images):
    with pytest.raises(BadArgument, match="uint8 portraits"):
        check(images)
