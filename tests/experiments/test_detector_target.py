"""A detector of generated images as a target: one logit, above 0 = generated, and pixels that pass as real."""

import pytest
import torch

from advgen.core.device import choose
from advgen.core.errors import BadArgument
from advgen.core.specs import DataSpec, Part
from advgen.experiments.assemble import Assembly
from advgen.experiments.run import run
from advgen.experiments.study import parse

FAKES = DataSpec("generated", "test", 32, 64)
SPECTRUM = Part.of("detect/spectrum", {"statistic": "azimuthal", "count": 128})


@pytest.fixture(scope="module")
def assembly():
    return Assembly(choose("cpu"))


def test_generated_images_are_called_so_and_real_ones_are_not(assembly):
    target, _ = assembly.target(SPECTRUM, FAKES)
    assert (target.decision, target.classes) == ("sign", ("generated",))
    with torch.no_grad():
        fake = target(assembly.slice(FAKES).images).logits
        real = target(assembly.slice(FAKES._replace(name="avatars")).images).logits
    assert float((fake > 0).float().mean()) > 0.8
    assert float((real > 0).float().mean()) < 0.25


def test_its_gradient_reaches_the_pixels(assembly):
    images = assembly.slice(FAKES).images[:4].clone().requires_grad_()
    (slope,) = torch.autograd.grad(assembly.target(SPECTRUM, FAKES)[0](images).logits.sum(), images)
    assert bool((slope.flatten(1).abs().amax(1) > 0).all())


def test_its_card_hangs_on_its_arguments(assembly):
    other = Part.of("detect/spectrum", {"statistic": "azimuthal", "count": 64})
    assert assembly.target(SPECTRUM, FAKES)[1].file_hash != assembly.target(other, FAKES)[1].file_hash


def test_a_defense_that_detects_something_else_is_no_target(assembly):
    with pytest.raises(BadArgument, match="no detector of generated images"):
        assembly.target(Part("detect/magnet"), FAKES)


def test_a_run_passes_fakes_as_real_and_shows_the_controls(tmp_path):
    study = parse(
        {
            "name": "fakes",
            "question": "Do samples pass as real?",
            "grids": [
                {
                    "data": [{"name": "generated", "count": 16, "size": 64}],
                    "targets": [{"name": SPECTRUM.name, "args": dict(SPECTRUM.args)}],
                    "goals": ["pass-as-real"],
                    "attacks": [{"name": "image/pgd", "args": {"steps": 10}}],
                    "budgets": [{"name": "Linf", "radius": "8/255"}],
                    "controls": False,
                }
            ],
        },
        "fakes",
    )
    store = run(study, tmp_path / "run", device="cpu")
    rows = store.rows()
    attacked = rows[rows["attack"] != ""]
    assert attacked["success_saved"].mean() > 0.9
    assert (rows[rows["attack"] == ""]["clean_prediction"] == 1).mean() > 0.8
    (told,) = store.read_json("probes.json")["fakes"].values()
    assert told["tested"] == told["trained"] == ["stylegan2_avatars_64"]
    assert "real, inverted and saved again" in told["controls"]
