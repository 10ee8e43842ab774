"""MagNet on MNIST: detectors and reformer together, before and after the attacker learns of them."""

from typing import Any

from advgen.experiments.study import Study, parse

QUESTION = "Does MagNet protect an MNIST classifier from an attacker who has read the paper?"
DESCRIPTION = (
    "Meng & Chen 2017 (arXiv 1705.09064): two residual detectors and the opinion detector at 1% false alarms each, "
    "then the reformer. Carlini & Wagner 2017 (arXiv 1711.08478) broke it by attacking autoencoders of their own; here "
    "the attack goes through the pipeline itself. The published LeNet, an autoencoder trained by our recipe."
)
COUNT = 96
FALSE_ALARMS = 0.01
AUTOENCODER = "recipe:dae:data=mnist,size=28,sigma=0.1,images=10000,epochs=5,start_at_mean=true,seed=0"
PGD = {"name": "image/pgd", "args": {"steps": 200}}
RADII = ("51/255", "77/255")


def study() -> Study:
    own: dict[str, Any] = {"fpr": FALSE_ALARMS, "weights": AUTOENCODER}
    magnet = [
        {"name": "detect/magnet", "args": {**own, "statistic": "l2"}},
        {"name": "detect/magnet", "args": {**own, "statistic": "l1"}},
        {"name": "detect/magnet", "args": {**own, "statistic": "jsd", "temperature": 10.0}},
        {"name": "purify/dae", "args": {"weights": AUTOENCODER}},
    ]
    at = {"attack": "image/pgd", "budget": "Linf", "radius": RADII[-1]}
    return parse(
        {
            "name": "magnet_break",
            "question": QUESTION,
            "description": DESCRIPTION,
            "grids": [
                {
                    "data": [{"name": "mnist", "split": "test", "count": COUNT}],
                    "targets": ["mnist_lenet_standard"],
                    "attacks": ["image/fgsm", PGD],
                    "budgets": [{"name": "Linf", "radius": r} for r in RADII],
                    "defenses": [
                        "none",
                        {"label": "reformer", "parts": magnet[-1:]},
                        {"label": "MagNet", "parts": magnet},
                    ],
                    "knowledge": ["oblivious", "adaptive"],
                }
            ],
            "claims": [
                {
                    "statement": "MagNet keeps at least 90% of the images from oblivious PGD at 77/255 (right, or "
                    "adversarial and rejected)",
                    "metric": "joint",
                    "of": {**at, "defense": "MagNet", "knowledge": "oblivious"},
                    "relation": ">",
                    "margin": 0.9,
                },
                {
                    "statement": "PGD through the whole of MagNet succeeds on at least 90% of the images at 77/255",
                    "metric": "success",
                    "of": {**at, "defense": "MagNet", "knowledge": "adaptive"},
                    "relation": ">",
                    "margin": 0.9,
                },
            ],
        },
        "magnet_break",
    )
