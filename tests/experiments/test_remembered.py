"""Inversions are made once a study, and charged each time; an attack may name the LPIPS that it is searched through."""

import torch

from advgen.contracts.parts import LeastSquares, LinearGenerator
from advgen.core.device import choose
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.specs import BudgetSpec, Cell, DataSpec, Part
from advgen.experiments.assemble import Assembly
from advgen.experiments.keys import cell_key
from advgen.experiments.remembered import Remembering
from advgen.experiments.study import check_part

GENERATOR = LinearGenerator()


class Counting:
    """An inverter that knows how often it was asked."""

    asked = 0

    def invert(self, images, *, rng, meter):
        self.asked += 1
        return LeastSquares(GENERATOR).invert(images, rng=rng, meter=meter)


def test_the_same_images_and_streams_are_inverted_once_and_charged_each_time():
    counting, meters = Counting(), [Meter(), Meter()]
    remembering = Remembering(counting)
    images = GENERATOR.synthesis(0.1 * torch.randn(3, 2, 8))
    ids = ("a", "b", "c")
    both = [remembering.invert(images, rng=SampleRng.for_samples(0, "attack/inversion", ids), meter=m) for m in meters]
    assert counting.asked == 1
    assert torch.equal(both[0].w, both[1].w)
    assert meters[0].generator_calls == meters[1].generator_calls == 3
    for other in (
        (images + 0.01, 0, "attack/inversion", ids), (images, 1, "attack/inversion", ids),
        (images, 0, "attack/other", ids), (images, 0, "attack/inversion", ("a", "b", "d")),
    ):  # fmt: skip
        before = counting.asked
        remembering.invert(other[0], rng=SampleRng.for_samples(*other[1:]), meter=Meter())
        assert counting.asked == before + 1


def test_an_attack_may_name_the_backbone_of_its_budget_and_it_counts_in_the_key():
    assembly, data = Assembly(choose("cpu")), DataSpec("avatars", "test", 2, 64, (("identities", 10),))
    own, named = Part.of("latent/pgd", {"steps": 2}), Part.of("latent/pgd", {"steps": 2, "net": "embedded"})
    check_part("attacks", named)
    assert assembly.attack_net(data, named) == "embedded"
    assert assembly.budget(BudgetSpec("Lpips", "0.1"), data, named).metric is assembly.perceptual("embedded")
    cells = [
        Cell(data, Part("target"), Part("untargeted"), attack, BudgetSpec("Lpips", "0.1")) for attack in (own, named)
    ]
    assert cell_key(cells[0], {}) != cell_key(cells[1], {})
