"""The pictures of docs/attacks: one portrait under every attack of a family, and what each changed.

python docs/draw_attacks.py [--out docs/images]

Rows: the attacked image as saved, and its difference from the original, middle grey = no change, times the number
written below it. Shipped data and networks; each attack with the arguments below, at full strength.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import matplotlib
import matplotlib.pyplot as plt
import torch
from torch import Tensor

from advgen.core import registry
from advgen.core.budgets import L2, Budget
from advgen.core.device import choose
from advgen.core.goals import make_goal
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.specs import BudgetSpec, DataSpec
from advgen.core.targets import ModuleTarget
from advgen.experiments.assemble import Assembly
from advgen.experiments.data._load import load
from advgen.zoo.load import as_target


class Shown(NamedTuple):
    attack: str
    budget: str = ""  # "Linf 8/255"; empty = the smallest change
    args: tuple[tuple[str, object], ...] = ()
    label: str = ""


LINF, NEAR = "Linf 8/255", (("searches", 4), ("steps", 150), ("initial_c", 1.0))
FAMILIES = {
    "image": [
        Shown("image/noise", LINF),
        *(Shown(f"image/{name}", LINF) for name in ("fgsm", "bim", "pgd", "apgd", "mim", "dim", "tim", "vmi")),
        Shown("image/pgd", "L2 1", label="image/pgd, L2"),
        Shown("image/apgd", "L1 12", label="image/apgd, L1"),
        Shown("image/flow", "Latent 1"),
    ],
    "minimum": [
        Shown("minimum/deepfool", "L2 5"),
        Shown("minimum/ddn", "L2 5"),
        Shown("minimum/cw", "L2 5", NEAR),
        Shown("minimum/fmn", "L2 5"),
        Shown("minimum/fab", "Linf 16/255"),
        Shown("minimum/cw_linf", "Linf 16/255", (("steps", 150), ("initial_c", 0.1))),
        Shown("minimum/ead", "L1 50", NEAR),
        Shown("minimum/cw_l0", "L0 100", (("steps", 150), ("initial_c", 0.1))),
    ],
    "perceptual": [
        *(Shown(f"perceptual/{name}", "Lpips 0.01") for name in ("lpa", "ppgd")),
        Shown("image/pgd", "Lpips 0.01", label="image/pgd, Lpips"),
    ],
    "blackbox": [
        Shown("blackbox/square", LINF, (("queries", 1000),)),
        Shown("blackbox/square", "L2 2", (("queries", 1000),), "blackbox/square, L2"),
        Shown("blackbox/nes", LINF, (("steps", 60),)),
        Shown("blackbox/hopskipjump", "L2 5", (("steps", 12),)),
    ],
}
PERSON = 3  # of the test split


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent / "images")
    options = parser.parse_args()
    torch.set_num_threads(1)
    matplotlib.use("Agg")
    plt.rcParams["svg.hashsalt"] = "attacks"
    assembly = Assembly(choose("cpu"))
    spec = DataSpec("avatars", "test", PERSON + 1, 32)
    sample = load(spec)
    original, label = sample.images_u8[PERSON:].float() / 255, sample.labels[PERSON:]
    target = as_target("avatars_identity_32")
    for family, shown in FAMILIES.items():
        draw(
            [(one, attacked(one, target, original, label, assembly, spec)) for one in shown],
            original,
            target,
            label,
            options.out / f"attacks_{family}.png",
        )


def attacked(
    one: Shown, target: ModuleTarget, original: Tensor, label: Tensor, assembly: Assembly, spec: DataSpec
) -> Tensor:
    name, _, radius = one.budget.partition(" ")
    budget: Budget = assembly.budget(BudgetSpec(name, radius), spec)
    attack = registry.create("attacks", one.attack, **dict(one.args), budget=budget)
    goal = make_goal("untargeted", label, decision="argmax", classes=len(target.classes))
    rng = SampleRng.for_samples(0, "attack", [f"avatars/test/{PERSON}"])
    found = attack.run(target, original, goal, rng=rng, meter=Meter()).images
    return budget.to_uint8(found, (original * 255).round().to(torch.uint8)).float() / 255


def draw(found: list[tuple[Shown, Tensor]], original: Tensor, target: ModuleTarget, label: Tensor, path: Path) -> None:
    columns = len(found) + 1
    figure, axes = plt.subplots(2, columns, figsize=(1.25 * columns, 3.1), dpi=110)
    for axis in axes.flat:
        axis.set_axis_off()
    show(axes[0, 0], original, "original")
    for k, (one, image) in enumerate(found, start=1):
        change = image - original
        most = float(change.abs().max())
        times = 0.5 / most if most else 1.0
        fools = int(target(image).logits.argmax(1)) != int(label)
        show(axes[0, k], image, (one.label or one.attack).replace("/", "/\n"))
        show(axes[1, k], 0.5 + change * times, "")
        far = float(L2(1.0).distance(image, original))
        axes[1, k].set_title(
            f"× {times:.0f}\nL2 {far:.2f}\n{'fools' if fools else 'does not fool'}", fontsize=7, y=-0.55
        )
    figure.subplots_adjust(left=0.01, right=0.99, top=0.85, bottom=0.2, wspace=0.06, hspace=0.08)
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)


def show(axis: plt.Axes, image: Tensor, title: str) -> None:
    axis.imshow(image[0].permute(1, 2, 0).clamp(0, 1).numpy(), interpolation="nearest")
    axis.set_title(title, fontsize=7)


if __name__ == "__main__":
    main()
