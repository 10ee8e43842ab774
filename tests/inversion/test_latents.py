"""Latents: their images, files, parts and places."""

from contextlib import suppress

import pytest
import torch
from safetensors.torch import save_file

from advgen.core.errors import BadArgument, BadFile, MissingFile
from advgen.core.latent_spaces import spread
from advgen.core.types import Latents
from advgen.inversion.latents import (
    at_rest,
    distance_to_mean,
    joined,
    load_latents,
    save_latents,
    synthesised,
    taken,
)


@pytest.fixture
def full():
    """Latents of three samples with noise maps and weights."""
    random = torch.Generator().manual_seed(0)
    noise = [torch.randn((3, 1, s, s), generator=random) for s in (4, 8, 8, 16, 16)]
    weights = [{"synthesis.b4.const": torch.randn((16, 4, 4), generator=random)} for _ in range(3)]
    return Latents(torch.randn((3, 6, 16), generator=random), noise, torch.rand(3, generator=random), weights)


def same(one, other):
    assert torch.equal(one.w, other.w)
    assert torch.equal(one.distance, other.distance)
    assert (one.noise is None) == (other.noise is None)
    assert all(torch.equal(a, b) for a, b in zip(one.noise or [], other.noise or [], strict=True))
    assert (one.tuned is None) == (other.tuned is None)
    for mine, theirs in zip(one.tuned or [], other.tuned or [], strict=True):
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_a_file_gives_back_what_it_was_given(tmp_path, full):
    save_latents(tmp_path / "deep" / "a.safetensors", full, 1, {"method": "pivotal", "row": {"psnr": 30.5}})
    saved = load_latents(tmp_path / "deep" / "a.safetensors")
    same(saved.latents, taken(full, torch.tensor([1])))
    assert saved.about == {"method": "pivotal", "row": {"psnr": 30.5}}


def test_plain_latents_stay_plain(tmp_path, full):
    plain = full._replace(noise=None, tuned=None)
    save_latents(tmp_path / "a.safetensors", plain, 0, {})
    same(load_latents(tmp_path / "a.safetensors").latents, taken(plain, torch.tensor([0])))


def test_weights_that_did_not_change_are_still_weights(tmp_path, full):
    unchanged = full._replace(tuned=[{}, {}, {}])
    save_latents(tmp_path / "a.safetensors", unchanged, 0, {})
    assert load_latents(tmp_path / "a.safetensors").latents.tuned == [{}]


def test_other_files_are_refused(tmp_path):
    with pytest.raises(MissingFile, match="there is no file"):
        load_latents(tmp_path / "none.safetensors")
    save_file({"w": torch.zeros(1, 2, 3)}, tmp_path / "net.safetensors")
    with pytest.raises(BadFile, match="no latents of an image"):
        load_latents(tmp_path / "net.safetensors")


def test_parts_join_to_the_whole(full):
    same(joined([taken(full, torch.tensor([0, 1])), taken(full, torch.tensor([False, False, True]))]), full)
    with pytest.raises(BadArgument, match="cannot be joined"):
        joined([full, full._replace(noise=None)])


def test_images_come_with_their_own_noise_and_weights(generator, full):
    made = synthesised(generator, full)
    alone = torch.cat([synthesised(generator, taken(full, torch.tensor([i]))) for i in range(3)])
    torch.testing.assert_close(made, alone, atol=1e-5, rtol=0)
    for part in ("noise", "tuned"):
        assert not torch.allclose(synthesised(generator, full._replace(**{part: None})), made, atol=1e-3)
    assert 0 <= float(made.min()) <= float(made.max()) <= 1


def test_the_spread_of_a_linear_map_of_normal_numbers_is_known(toy):
    """w is z there: eight independent coordinates of variance 1 around 0."""
    assert spread(toy) == pytest.approx(8**0.5, rel=0.01)
    assert spread(toy) == spread(toy)
    assert distance_to_mean(toy, torch.ones(1, 2, 8), spread(toy)).item() == pytest.approx(1, rel=0.01)


def test_at_rest_puts_everything_back(generator):
    generator.train()
    generator.mapping.fc0.weight.requires_grad_(False)
    try:
        with suppress(KeyError), at_rest(generator):
            assert not generator.training
            assert not any(p.requires_grad for p in generator.parameters())
            raise KeyError
        learning = {name for name, p in generator.named_parameters() if p.requires_grad}
        assert "mapping.fc0.weight" not in learning
        assert len(learning) == len(list(generator.parameters())) - 1
        assert all(m.training for m in generator.modules())
    finally:
        generator.requires_grad_(True).eval()
