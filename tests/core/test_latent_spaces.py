"""Latent spaces: what no offset makes is the inversion, offsets count alike in all kinds, and rows stay their own."""

import pytest
import torch

from advgen.contracts.parts import LinearGenerator
from advgen.core.budgets import Latent
from advgen.core.errors import AdvgenError, BadArgument
from advgen.core.latent_spaces import AlongDirections, LatentSpace, spread
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.types import Latents
from advgen.generators.stylegan2 import GeneratorConfig, StyleGAN2Generator

N = 3
IDS = tuple(f"toy/test/{i}" for i in range(N))


@pytest.fixture(scope="module")
def generator():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = StyleGAN2Generator(GeneratorConfig(16, (8, 8, 8), 3, 6, 6, 0, 2)).eval().requires_grad_(False)
        for layer in net.synthesis.convs():
            layer.noise_strength.fill_(0.1)
    return net


def rng():
    return SampleRng.for_samples(0, "attack", IDS)


def inverted(generator, own_noise=False):
    torch.manual_seed(2)
    w = generator.mapping(torch.randn(N, generator.z_dim))
    w = w + 0.1 * torch.randn_like(w)  # rows differ, as an encoder's do
    noise = None
    if own_noise:
        noise = [torch.randn(N, 1, *layer.noise_const.shape) for layer in generator.synthesis.convs()]
    return Latents(w, noise, torch.zeros(N), None)


@pytest.mark.parametrize("kind", ["w", "w+", "s", "noise"])
@pytest.mark.parametrize("own_noise", [False, True])
def test_without_an_offset_it_decodes_to_the_inversion(generator, kind, own_noise):
    latents = inverted(generator, own_noise)
    space = LatentSpace.around(generator, latents, kind)
    start = space.start(torch.zeros(N, 3, 16, 16), rng())
    expected = generator.synthesis(latents.w, noise="const" if latents.noise is None else latents.noise).clamp(0, 1)
    torch.testing.assert_close(space.decode(start), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["z", "w", "w+", "s", "noise"])
def test_every_kind_moves_the_image_and_passes_a_gradient(generator, kind):
    if kind == "z":
        space = LatentSpace.from_nothing(generator, rng())
    else:
        space = LatentSpace.around(generator, inverted(generator), kind)
    start = space.start(torch.zeros(N, 3, 16, 16), rng()).requires_grad_()
    image = space.decode(start)
    (slope,) = torch.autograd.grad(image.sum(), start)
    assert (slope.flatten(1).norm(dim=1) > 0).all()
    moved = space.decode(start.detach() + 0.3)
    assert ((moved - image.detach()).abs().flatten(1).amax(1) > 0).all()


def test_one_offset_of_w_moves_all_rows_alike_by_typical_distances(generator):
    latents = inverted(generator)
    space = LatentSpace.around(generator, latents, "w")
    offset = torch.zeros(N, 1, generator.w_dim)
    offset[..., 0] = 2.0
    moved = space.latents(offset) - latents.w
    torch.testing.assert_close(moved[..., 0], torch.full(moved.shape[:2], 2 * spread(generator)))
    assert moved[..., 1:].abs().max() == 0
    assert Latent(2.0).distance(offset, torch.zeros_like(offset)).tolist() == pytest.approx([2.0] * N)


def test_a_radius_means_the_same_in_w_and_in_w_plus(generator):
    latents = inverted(generator)
    direction = torch.nn.functional.normalize(torch.randn(N, 1, generator.w_dim), dim=2)
    everywhere = direction.expand(-1, generator.num_ws, -1)
    torch.testing.assert_close(
        LatentSpace.around(generator, latents, "w").decode(direction),
        LatentSpace.around(generator, latents, "w+").decode(everywhere),
    )
    assert Latent(1.0).distance(everywhere, torch.zeros_like(everywhere)).tolist() == pytest.approx([1.0] * N)


def test_a_sample_taken_alone_decodes_to_its_own_image(generator):
    for kind in ("w+", "s", "noise"):
        space = LatentSpace.around(generator, inverted(generator, own_noise=True), kind)
        coordinates = 0.2 * torch.randn(space.start(torch.zeros(N, 3, 16, 16), rng()).shape)
        whole = space.decode(coordinates)
        for i in range(N):
            alone = space.take(torch.tensor([i])).decode(coordinates[i : i + 1])
            torch.testing.assert_close(alone[0], whole[i], atol=1e-5, rtol=0)


def test_samples_of_z_do_not_depend_on_the_batch(generator):
    whole = LatentSpace.from_nothing(generator, rng())
    alone = LatentSpace.from_nothing(generator, SampleRng.for_samples(0, "attack", IDS[1:2]))
    assert torch.equal(whole.z[1], alone.z[0])


def test_reach_pulls_rows_back_but_leaves_an_inversion_where_it_is(generator):
    latents = inverted(generator)
    far = latents._replace(w=generator.mean_w + 10 * spread(generator) * torch.ones_like(latents.w))
    space = LatentSpace.around(generator, far, "w+", reach=1.0)
    nothing = torch.zeros_like(far.w)
    torch.testing.assert_close(space.clip(nothing), nothing, atol=1e-5, rtol=0)
    near = LatentSpace.around(generator, latents._replace(w=generator.mean_w.expand_as(latents.w)), "w+", reach=1.0)
    pulled = near.latents(near.clip(torch.full_like(latents.w, 5.0))) - generator.mean_w
    torch.testing.assert_close(pulled.norm(dim=2), torch.full((N, generator.num_ws), spread(generator)))


def test_generator_calls_are_counted(generator):
    meter = Meter()
    space = LatentSpace.around(generator, inverted(generator), "w+", meter=meter)
    space.decode(torch.zeros_like(space.w))
    assert meter.generator_calls == N


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [("z", "an image has no z of its own"), ("v", "unknown latent space 'v'")],
)
def test_what_cannot_be_searched_is_refused(generator, kind, sentence):
    with pytest.raises(AdvgenError, match=sentence):
        LatentSpace.around(generator, inverted(generator), kind)


def test_tuned_weights_are_each_images_own_and_the_generator_stays_as_it_is(generator):
    name = next(name for name, _ in generator.named_parameters() if name.endswith("weight") and "b16" in name)
    before = {k: v.clone() for k, v in generator.state_dict().items()}
    changes = [{name: 0.1 * i * torch.ones_like(dict(generator.named_parameters())[name])} for i in range(N)]
    latents = inverted(generator)
    space = LatentSpace.around(generator, latents._replace(tuned=changes), "w+")
    plain = LatentSpace.around(generator, latents, "w+")
    nothing = torch.zeros_like(latents.w)
    made, unchanged = space.decode(nothing), plain.decode(nothing)
    torch.testing.assert_close(made[0], unchanged[0], atol=1e-5, rtol=0)
    assert (made[1:] - unchanged[1:]).abs().amax() > 1e-3
    alone = space.take(torch.tensor([2])).decode(nothing[2:])
    torch.testing.assert_close(alone[0], made[2], atol=1e-5, rtol=0)
    assert all(torch.equal(before[k], v) for k, v in generator.state_dict().items())


def test_a_coefficient_of_one_goes_a_typical_distance_along_its_direction(generator):
    latents = inverted(generator)
    base = LatentSpace.around(generator, latents, "w+")
    space = AlongDirections.of(base, 7 * torch.eye(generator.w_dim)[:2])
    coefficients = torch.tensor([[1.0, 0.0], [0.0, -2.0], [0.5, 0.5]])
    step = torch.zeros_like(latents.w)
    step[:, :, :2] = coefficients[:, None]
    torch.testing.assert_close(space.decode(coefficients), base.decode(step))
    with pytest.raises(BadArgument, match="a direction has no length"):
        AlongDirections.of(base, torch.zeros(1, generator.w_dim))
    with pytest.raises(BadArgument, match="directions must have the shape"):
        AlongDirections.of(base, torch.ones(1, generator.w_dim + 1))


def test_a_generator_without_noise_maps_says_so():
    generator = LinearGenerator()
    latents = Latents(torch.zeros(N, generator.num_ws, generator.w_dim), None, torch.zeros(N), None)
    with pytest.raises(BadArgument, match="no noise maps"):
        LatentSpace.around(generator, latents, "noise")
