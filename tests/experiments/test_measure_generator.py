"""What is read of a generator: known displacements are found, and a measurement of a little one is whole."""

import pytest
import torch

from advgen.core import checkpoints
from advgen.core.errors import MissingFile
from advgen.core.meter import Meter
from advgen.core.specs import Card
from advgen.experiments.measures._shift import displacements
from advgen.experiments.measures.generator import Generator
from advgen.generators.stylegan2 import GeneratorConfig, StyleGAN2Generator
from advgen.generators.stylegan2.load import load_stylegan2


def test_whole_pixel_displacements_are_found_exactly_and_half_ones_nearly():
    x = torch.arange(32.0)
    bell = torch.exp(-((x - 16) ** 2) / 18).expand(32, 32)
    images = torch.stack([torch.exp(-((x - 16 - shift) ** 2) / 18).expand(32, 32) for shift in (-5, 0, 2.5, 6)])
    assert torch.allclose(displacements(images, bell), torch.tensor([-5, 0, 2.5, 6]), atol=0.05)


def little(path, images, *, seed=0, normalisation="demodulation"):
    torch.manual_seed(seed)
    net = StyleGAN2Generator(GeneratorConfig(32, (8, 8, 8, 8), 3, 8, 8, 0, 2, normalisation=normalisation))
    cost = {"images": images, "device": "cpu", "seconds": 50.0, "cpu seconds": 7.0, "cpu seconds of looks": 2.0}
    card = Card("little", "generator", "none", {"normalisation": normalisation}, 0, "", "", {}, cost, "MIT")
    checkpoints.save(path, {f"G_ema.{k}": v for k, v in net.state_dict().items()}, card)
    return path


def measured(path, tmp_path, **args):
    measure = Generator(str(path), count=128, pairs=16, **args)
    return measure.run(seed=0, device=torch.device("cpu"), meter=Meter(), out=tmp_path)


def test_a_measurement_of_a_little_generator_has_every_number_once(tmp_path):
    path = little(tmp_path / "little.safetensors", 100)
    little(tmp_path / "little.progress" / "00000040.safetensors", 40, seed=1)
    found, early = measured(path, tmp_path, shift=2.0), measured(path, tmp_path, at=40, jitter=2)
    of_arm, of_early = ({r.quantity: r.value for r in f.readings if r.sample_id == "seed/0"} for f in (found, early))
    by_sample = {"droplets", "spots", "following", "following_by_chance", "match"}
    assert set(of_arm) == set(Generator.quantities) - by_sample
    assert set(of_early) == set(of_arm) - {"moved"}
    assert of_arm["seconds"] == of_early["seconds"] == 50  # of its own time, without looks
    assert (of_arm["images"], of_early["images"]) == (100, 40)
    assert of_arm["ppl_w"] != of_early["ppl_w"]
    assert -1 <= of_arm["path_rank"] <= 1
    droplets = [r.value for r in found.readings if r.quantity == "droplets"]
    assert len(droplets) == 64
    assert min(droplets) >= 1
    assert found.pictures[0].png.startswith(b"\x89PNG")


def test_weights_of_a_look_that_was_not_kept_are_told_with_those_that_were(tmp_path):
    path = little(tmp_path / "little.safetensors", 100)
    little(tmp_path / "little.progress" / "00000040.safetensors", 40)
    with pytest.raises(MissingFile, match=r"the look at 30 images \(kept: 40\)"):
        measured(path, tmp_path, at=30)


def test_droplets_are_looked_for_before_adaptive_instance_norm(tmp_path):
    """Behind it a large shift would hide them."""
    net = load_stylegan2(little(tmp_path / "little.safetensors", 100, normalisation="adain")).generator
    measure = Generator("little.safetensors")
    before = measure._droplets(net, 0)
    net.synthesis.b32.conv1.affine.bias.data[8:] = 1000.0
    assert measure._droplets(net, 0) == before
