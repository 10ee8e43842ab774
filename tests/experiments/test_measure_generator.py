"""What is read of a generator: known displacements are found, and a measurement of a little one is whole."""

import torch

from advgen.core import checkpoints
from advgen.core.meter import Meter
from advgen.core.specs import Card
from advgen.experiments.measures._shift import displacements
from advgen.experiments.measures.generator import Generator
from advgen.generators.stylegan2 import GeneratorConfig, StyleGAN2Generator


def test_whole_pixel_displacements_are_found_exactly_and_half_ones_nearly():
    x = torch.arange(32.0)
    bell = torch.exp(-((x - 16) ** 2) / 18).expand(32, 32)
    images = torch.stack([torch.exp(-((x - 16 - shift) ** 2) / 18).expand(32, 32) for shift in (-5, 0, 2.5, 6)])
    assert torch.allclose(displacements(images, bell), torch.tensor([-5, 0, 2.5, 6]), atol=0.05)


def test_a_measurement_of_a_little_generator_has_every_number_once(tmp_path):
    torch.manual_seed(0)
    net = StyleGAN2Generator(GeneratorConfig(32, (8, 8, 8, 8), 3, 8, 8, 0, 2))
    path = tmp_path / "little.safetensors"
    card = Card("little", "generator", "none", {}, 0, "", "", {}, {"images": 100, "seconds": 5.0}, "MIT")
    checkpoints.save(path, {f"G_ema.{k}": v for k, v in net.state_dict().items()}, card)
    measure = Generator(str(path), count=128, pairs=16, shift=2.0)
    found = measure.run(seed=0, device=torch.device("cpu"), meter=Meter(), out=tmp_path)
    of_arm = {r.quantity: r.value for r in found.readings if r.sample_id == "seed/0"}
    assert of_arm["seconds"] == 50
    assert set(of_arm) == set(Generator.quantities) - {"droplets", "following"}
    droplets = [r.value for r in found.readings if r.quantity == "droplets"]
    assert len(droplets) == 64
    assert min(droplets) >= 1
    assert found.pictures[0].png.startswith(b"\x89PNG")
