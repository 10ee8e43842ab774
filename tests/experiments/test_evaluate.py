"""A notebook's module, and anybody's finished images, through judge, intervals, warnings and page."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import advgen
from advgen.core.errors import BadArgument
from advgen.core.rng import SampleRng
from advgen.core.specs import BudgetSpec, Part
from advgen.experiments.finished import ADVERSARIALS, judge_finished


class Brightness(nn.Module):
    """Two classes, the second for bright images; the answer changes where the mean crosses one half."""

    def forward(self, images):
        mean = images.mean((1, 2, 3))
        return 20 * torch.stack([torch.full_like(mean, 0.5), mean], dim=1)


def images_at(*means: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand((len(means), 1, 16, 16), generator=generator) * 0.2 - 0.1
    return noise - noise.mean((1, 2, 3), keepdim=True) + torch.tensor(means).reshape(-1, 1, 1, 1)


def test_robust_accuracy_is_that_of_the_closed_form():
    # The mean moves by eps and no more: images nearer than 8/255 to one half fall, the others stand.
    means = [0.40, 0.45, 0.48, 0.49, 0.51, 0.52, 0.55, 0.60]
    labels = [0, 0, 0, 0, 1, 1, 1, 1]
    result = advgen.evaluate(Brightness(), images_at(*means), labels, attacks=["image/pgd"], budget="Linf 8/255")
    rates = result.rates
    (pgd,) = rates[(rates["attack"] == "image/pgd") & ~rates["control"]].to_dict("records")
    assert pgd["clean_accuracy"] == 1.0
    assert pgd["robust_accuracy"] == 4 / 8
    assert pgd["n"] == 8
    assert "robust accuracy" in str(result)


def test_a_defense_object_is_judged_behind_and_attacked_through():
    class Darkened:
        """Adaptive attacks must cross a boundary that the defense has moved."""

        stochastic = False
        differentiable = True

        def purify(self, images, rng: SampleRng):
            return images - 0.1

        def surrogate(self):
            return lambda images: images

    labels = [1, 1, 1, 1]
    images = images_at(0.62, 0.64, 0.70, 0.80)
    result = advgen.evaluate(
        Brightness(), images, labels, attacks=["image/pgd"], budget="Linf 8/255", defense=Darkened()
    )
    rates = result.rates
    pgd = rates[(rates["attack"] == "image/pgd") & ~rates["control"]].set_index(["defense", "knowledge"])[
        "robust_accuracy"
    ]
    assert pgd[("", "oblivious")] == 1.0
    assert pgd[("given:Darkened", "adaptive")] == 0.75


def test_the_same_call_on_the_same_folder_goes_on_and_ends_in_the_same_rows(tmp_path):
    options = {"attacks": ["image/fgsm"], "budget": "Linf 8/255", "out": tmp_path / "run"}
    first = advgen.evaluate(Brightness(), images_at(0.4, 0.6), [0, 1], **options).rows
    again = advgen.evaluate(Brightness(), images_at(0.4, 0.6), [0, 1], **options).rows
    assert first.equals(again)


def test_a_detector_needs_clean_images_of_its_own():
    with pytest.raises(BadArgument, match="calibration"):
        advgen.evaluate(
            Brightness(),
            images_at(0.4, 0.6),
            [0, 1],
            defense={"name": "detect/lpips", "args": {"through": "purify/jpeg"}},
        )


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Four originals and what somebody made of them: two cross one half, one stays, one leaves the budget."""
    clean, made = tmp_path / "clean", tmp_path / "made"
    for folder in (clean, made):
        folder.mkdir()
    levels = {"a": (120, 130), "b": (125, 129), "c": (100, 105), "d": (90, 200)}
    for name, (before, after) in levels.items():
        Image.fromarray(np.full((16, 16), before, np.uint8)).save(clean / f"{name}.png")
        Image.fromarray(np.full((16, 16), after, np.uint8)).save(made / f"{name}.png")
    return clean, made


@pytest.fixture
def brightness_file(tmp_path: Path) -> Path:
    path = tmp_path / "brightness.py"
    path.write_text(
        "import torch\n"
        "from torch import nn\n"
        "class Brightness(nn.Module):\n"
        "    classes = ('dark', 'bright')\n"
        "    image_shape = (1, 16, 16)\n"
        "    def forward(self, images):\n"
        "        mean = images.mean((1, 2, 3))\n"
        "        return torch.stack([torch.full_like(mean, 0.5), mean], dim=1)\n"
        "def build():\n"
        "    return Brightness()\n"
    )
    return path


def test_finished_images_are_judged_byte_by_byte(pair, brightness_file, tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text("file,label\na.png,dark\nb.png,dark\nc.png,dark\nd.png,0\n")
    store = judge_finished(
        *pair, Part(f"{brightness_file}:build"), tmp_path / "run", labels=labels, budget=BudgetSpec("Linf", "10/255")
    )
    rows = store.rows()
    judged = rows[rows["attack"] == ADVERSARIALS].set_index("sample_id")
    judged.index = [i.rsplit("/", 1)[-1] for i in judged.index]
    assert judged["success_saved"].to_dict() == {"a.png": True, "b.png": True, "c.png": False, "d.png": True}
    assert judged["inside"].to_dict() == {"a.png": True, "b.png": True, "c.png": True, "d.png": False}
    np.testing.assert_allclose(judged["linf"], [10 / 255, 4 / 255, 5 / 255, 110 / 255])


def test_without_labels_the_targets_own_answer_stands_in_and_is_said(pair, brightness_file, tmp_path):
    said: list[str] = []
    judge_finished(*pair, Part(f"{brightness_file}:build"), tmp_path / "run", say=said.append)
    assert any("labels" in sentence for sentence in said)


def test_other_images_in_the_same_run_folder_are_not_taken_for_the_first_ones(pair, brightness_file, tmp_path):
    clean, made = pair
    target = Part(f"{brightness_file}:build")
    first = judge_finished(clean, made, target, tmp_path / "run").rows(None)
    for name in ("a", "b", "c", "d"):
        Image.fromarray(np.full((16, 16), 10, np.uint8)).save(made / f"{name}.png")
    second = judge_finished(clean, made, target, tmp_path / "run").rows(None)
    assert first[first["attack"] != ""]["success_saved"].sum() == 3
    newest = second[(second["attack"] != "") & ~second["cell_key"].isin(first["cell_key"])]
    assert newest["success_saved"].sum() == 0
