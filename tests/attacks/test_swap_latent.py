"""The face swap on a linear generator, where what each row of w carries is known exactly."""

import pytest
import torch

from advgen.attacks.deepfake.swap_latent import SwapLatent, ellipse
from advgen.contracts import toys
from advgen.contracts.parts import LeastSquares, LinearGenerator
from advgen.core.errors import BadArgument
from advgen.core.goals import make_goal
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng

N = 4
GENERATOR = LinearGenerator()


def rng(n=N):
    return SampleRng.for_samples(0, "attack", [str(i) for i in range(n)])


def w(seed):
    return 0.2 * torch.randn(N, 2, 8, generator=torch.Generator().manual_seed(seed))


def maker(**args):
    given = {"first": 1, "last": 1, "mask": "none", **args}
    return SwapLatent(generator=GENERATOR, inverter=LeastSquares(GENERATOR), **given)


def swapped(source, driving, **args):
    return maker(**args).swap(source, driving, rng=rng(), meter=Meter()).images


@pytest.mark.parametrize("blend", ["difference", "paste"])
def test_the_rows_of_identity_are_the_sources_and_the_others_the_driving_faces(blend):
    one, other = w(0), w(1)
    mixed = torch.stack([other[:, 0], one[:, 1]], 1)
    expected = GENERATOR.synthesis(mixed)
    found = swapped(GENERATOR.synthesis(one), GENERATOR.synthesis(other), blend=blend)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_a_face_swapped_with_itself_stays_as_it_is():
    """Even where the generator cannot make it: the difference of its inversion with itself is none."""
    faces = 0.5 + 0.3 * (torch.rand(N, *toys.SHAPE, generator=torch.Generator().manual_seed(2)) - 0.5)
    torch.testing.assert_close(swapped(faces, faces, mask="ellipse"), faces, atol=1e-6, rtol=0)


def test_outside_the_mask_the_driving_picture_is_untouched():
    mask = torch.zeros(1, 1, *toys.SHAPE[1:])
    mask[..., 2:5, 2:5] = 1
    one, other = GENERATOR.synthesis(w(0)), GENERATOR.synthesis(w(1))
    found = maker(blend="paste").swap(one, other, rng=rng(), meter=Meter(), mask=mask).images
    assert torch.equal(found * (1 - mask), other * (1 - mask))
    assert not torch.equal(found, other)


def test_the_mask_is_the_middle_of_the_face_and_leaves_the_border():
    mask = ellipse(torch.zeros(1, 3, 64, 64))[0, 0]
    assert mask[34, 32] == 1
    assert mask[0].max() == mask[-1].max() == mask[:, 0].max() == mask[:, -1].max() == 0
    torch.testing.assert_close(mask, mask.flip(1))


def test_as_an_attack_it_takes_the_wanted_persons_picture():
    target = toys.linear()
    gallery = GENERATOR.synthesis(torch.stack([w(5)[0], w(6)[0], w(7)[0], w(8)[0]]))
    driving = GENERATOR.synthesis(w(1))
    wanted = torch.tensor([3, 2, 1, 0])
    goal = make_goal("targeted", torch.zeros(N, dtype=torch.long), wanted, decision="argmax", classes=4)
    found = maker(blend="paste", gallery=gallery).run(target, driving, goal, rng=rng(), meter=Meter())
    torch.testing.assert_close(found.images, swapped(gallery[wanted], driving, blend="paste"), atol=1e-6, rtol=0)
    assert set(found.note) == {"inversion_distance", "source_distance"}


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"first": 2, "last": 1}, "rows of w from 0 on"),
        ({"mask": "square"}, "mask must be ellipse or none"),
        ({"blend": "overlay"}, "blend must be difference or paste"),
    ],
)
def test_arguments_are_checked(args, said):
    with pytest.raises(BadArgument, match=said):
        maker(**args)


def test_rows_that_the_generator_has_not_are_refused():
    with pytest.raises(BadArgument, match="has rows 0 to 1 of w, and last is 9"):
        swapped(GENERATOR.synthesis(w(0)), GENERATOR.synthesis(w(1)), last=9)


def test_an_inversion_beyond_the_limit_is_refused():
    faces = torch.rand(N, *toys.SHAPE, generator=torch.Generator().manual_seed(2))
    with pytest.raises(BadArgument, match="too far from the image"):
        swapped(faces, faces, limit=1e-9)
