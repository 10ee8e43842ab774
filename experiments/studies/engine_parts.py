"""What each speed-up of the attack engine saves, and what it costs in success: all on, then one after another off."""

from typing import Any

from advgen.experiments.study import Study, parse

QUESTION = "What does each speed-up of the engine save, and does any of them lose images?"
DESCRIPTION = (
    "APGD-100 on published networks with everything on (samples leave at success, the search goes through a copy with "
    "BatchNorm folded, channels-last, in bfloat16, the raw network judges), then without bfloat16, without the "
    "prepared copy, without leaving, and with nothing. 256 test images; times are wall seconds an image, so the ratios "
    "hold for a quiet machine; gradients an image do not depend on it."
)
COUNT = 256
RADII = {
    ("cifar10", 32, "cifar10_resnet20_standard"): "1/255",
    ("cifar10", 32, "cifar10_resnet4b_adv"): "8/255",
    ("mnist", 28, "mnist_lenet_advtrained_eps03"): "76/255",
    ("fashion-mnist", 28, "fashion_small_certified_eps01"): "25/255",
}
ON = {"objective": "cross_entropy", "stop": "success", "fast": "bfloat16"}
ARMS: dict[str, dict[str, Any]] = {
    "everything on": ON,
    "without bfloat16": {**ON, "fast": "float32"},
    "without the prepared copy": {**ON, "fast": "no"},
    "without leaving": {**ON, "stop": "never"},
    "nothing": {**ON, "stop": "never", "fast": "no"},
}


def study() -> Study:
    return parse(
        {
            "name": "engine_parts",
            "question": QUESTION,
            "description": DESCRIPTION,
            "grids": [
                {
                    "data": [{"name": data, "split": "test", "count": COUNT, "size": size}],
                    "targets": [target],
                    "attacks": [{"name": "image/apgd", "args": args, "label": arm} for arm, args in ARMS.items()],
                    "budgets": [{"name": "Linf", "radius": radius}],
                    "controls": False,
                }
                for (data, size, target), radius in RADII.items()
            ],
            "claims": [claim for (data, _, target) in RADII for claim in _claims(data, target)],
        },
        "engine_parts",
    )


def _claims(data: str, target: str) -> list[dict[str, Any]]:
    def of(arm: str) -> dict[str, Any]:
        return {"data": data, "target": target, "attack": arm}

    return [
        *(
            {
                "statement": f"{target}: {arm} breaks as many images as everything on, within a point",
                "metric": "success",
                "of": of("everything on"),
                "versus": of(arm),
                "relation": ">=",
                "margin": -0.01,
            }
            for arm in ARMS
            if arm != "everything on"
        ),
        {
            "statement": f"{target}: everything on takes less time than nothing",
            "metric": "seconds",
            "of": of("everything on"),
            "versus": of("nothing"),
            "relation": "<",
        },
    ]
