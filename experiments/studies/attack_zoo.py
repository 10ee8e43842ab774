"""Every attack on the published networks: what it breaks, how far it goes, what it costs, and what survives saving."""

from typing import Any

from advgen.experiments.study import Study, parse

QUESTION = "What does each attack break, at what distance and cost, and what is left of it once the image is saved?"
DESCRIPTION = (
    "Nine published networks on MNIST, Fashion-MNIST and CIFAR-10: standard, adversarially trained and provably "
    "trained. Every attack at full strength (none leaves at its first success), 64 test images, one radius a norm and "
    "network. Success is judged on the saved bytes; float success stands beside it. Searches that cost thousands of "
    "passes are cut: Carlini-Wagner, EAD and their kind to 3 rounds of 100 steps, Square to 1,000 queries, NES to 50 "
    "steps, HopSkipJump to 10 hops."
)
COUNT = 64
ROUNDS = {"searches": 3, "steps": 100, "initial_c": 0.1}
CONVERGING: dict[str, dict[str, Any]] = {
    "image/apgdt": {"steps": 20},
    "image/pgd": {"steps": 40},
    "minimum/cw": ROUNDS,
    "minimum/ead": ROUNDS,
    "minimum/cw_linf": {"steps": 100, "initial_c": 0.1},
    "minimum/cw_l0": {"steps": 100, "initial_c": 0.1},
    "minimum/fab": {"steps": 20},
    "ensemble/autoattack": {"steps": 20, "queries": 500},
    "blackbox/square": {"queries": 1000},
    "blackbox/nes": {"steps": 50},
    "blackbox/hopskipjump": {"steps": 10},
    "image/flow": {"steps": 40},
}
BY_NORM = {
    "Linf": (
        *("image/fgsm", "image/bim", "image/pgd", "image/apgd", "image/apgdt"),
        *("image/mim", "image/nim", "image/dim", "image/tim", "image/sim", "image/vmi"),
        *("minimum/fab", "minimum/fmn", "minimum/deepfool", "minimum/cw_linf", "ensemble/autoattack"),
        *("blackbox/square", "blackbox/nes"),
    ),
    "L2": (
        *("image/pgd", "image/apgd", "blackbox/hopskipjump"),
        *("minimum/cw", "minimum/ddn", "minimum/deepfool", "minimum/fmn"),
    ),
    "L1": ("image/apgd", "minimum/ead", "minimum/fmn"),
    "L0": ("minimum/cw_l0", "minimum/fmn"),
    "Latent": ("image/flow",),
}
NORMS = ("Linf", "L2", "L1", "L0", "Latent")
# Linf in grey levels, L2 and L1 in units of [0, 1], L0 in pixels, the reach of a flow in pixels.
RADII = {
    ("mnist", 28, "mnist_lenet_standard"): ("25/255", "1.5", "12", "20", "1"),
    ("mnist", 28, "mnist_lenet_advtrained_eps03"): ("76/255", "2", "12", "20", "1"),
    ("mnist", 28, "mnist_small_certified_eps01"): ("25/255", "1.5", "12", "20", "1"),
    ("fashion-mnist", 28, "fashion_small_standard"): ("3/255", "0.3", "3", "10", "0.5"),
    ("fashion-mnist", 28, "fashion_small_certified_eps01"): ("25/255", "1.5", "12", "20", "1"),
    ("cifar10", 32, "cifar10_resnet20_standard"): ("2/255", "0.25", "4", "10", "0.3"),
    ("cifar10", 32, "cifar10_resnet4b_adv"): ("2/255", "0.25", "4", "10", "0.3"),
    ("cifar10", 32, "cifar10_resnet2b_adv"): ("2/255", "0.25", "4", "10", "0.3"),
    ("cifar10", 32, "cifar10_small_certified_2px"): ("2/255", "0.25", "4", "10", "0.3"),
}


def study() -> Study:
    return parse(
        {
            "name": "attack_zoo",
            "question": QUESTION,
            "description": DESCRIPTION,
            "grids": [_grid(data, size, target, norm) for data, size, target in RADII for norm in BY_NORM],
            "claims": [claim for data, _, target in RADII for claim in _claims(data, target)],
        },
        "attack_zoo",
    )


def _grid(data: str, size: int, target: str, norm: str) -> dict[str, Any]:
    return {
        "data": [{"name": data, "split": "test", "count": COUNT, "size": size}],
        "targets": [target],
        "attacks": [{"name": name, "args": CONVERGING.get(name, {})} for name in BY_NORM[norm]],
        "budgets": [{"name": norm, "radius": RADII[data, size, target][NORMS.index(norm)]}],
        "controls": norm == "Linf",
    }


def _claims(data: str, target: str) -> list[dict[str, Any]]:
    def of(attack: str, norm: str = "Linf") -> dict[str, Any]:
        return {"data": data, "target": target, "attack": attack, "budget": norm}

    return [
        {
            "statement": f"{target}: APGD breaks no fewer images than PGD-40, within 2 points",
            "metric": "success",
            "of": of("image/apgd"),
            "versus": of("image/pgd"),
            "relation": ">=",
            "margin": -0.02,
        },
        {
            "statement": f"{target}: PGD-40 breaks more images than one step of FGSM",
            "metric": "success",
            "of": of("image/pgd"),
            "versus": of("image/fgsm"),
            "relation": ">",
        },
        {
            "statement": f"{target}: Square's 1,000 queries break fewer images than APGD's 100 gradients",
            "metric": "success",
            "of": of("blackbox/square"),
            "versus": of("image/apgd"),
            "relation": "<",
        },
        {
            "statement": f"{target}: FMN's 100 gradients come as near in L2 as CW's 300, within 0.02",
            "metric": "median_l2",
            "of": of("minimum/fmn", "L2"),
            "versus": of("minimum/cw", "L2"),
            "relation": "<=",
            "margin": 0.02,
        },
    ]
