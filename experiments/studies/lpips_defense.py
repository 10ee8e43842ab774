"""Do LPIPS and autoencoder residuals tell adversarial images from clean ones, without a clean reference?"""

from typing import Any

from advgen.experiments.study import Study, parse

QUESTION = "Do LPIPS and autoencoder residuals tell adversarial images from clean ones, without a clean reference?"
DESCRIPTION = (
    "Detectors that compare an image with its own reconstruction: by LPIPS, by squared error and by the change of the "
    "classifier's opinion (MagNet). Thresholds from a separate clean split at 5% false alarms; attacks that do not "
    "know of them, and PGD with the detector's score in its loss."
)
COUNT = 128
FALSE_ALARMS = 0.05
PGD = {"name": "image/pgd", "args": {"steps": 40}}
# At two confidences: images that go on to a detector must not end at the boundary.
CW = [
    {"name": "minimum/cw", "args": {"searches": 3, "steps": 100, "initial_c": 1.0, "kappa": kappa}} for kappa in (0, 5)
]
RADII = ("2/255", "4/255", "8/255", "16/255")


def study() -> Study:
    sets = (
        ("avatars", 32, "avatars_identity_32", None),
        ("fashion-mnist", 28, "fashion_small_standard", AUTOENCODER.format(data="fashion-mnist", size=28)),
    )
    return parse(
        {
            "name": "lpips_defense",
            "question": QUESTION,
            "description": DESCRIPTION,
            "grids": [g for s in sets for g in _grids(*s)],
            "claims": [c for s in sets for c in _claims(s[0])],
        },
        "lpips_defense",
    )


AUTOENCODER = "recipe:dae:data={data},size={size},sigma=0.1,images=8000,epochs=6,seed=0"


def _detectors(weights: str | None) -> list[dict[str, Any]]:
    own: dict[str, Any] = {"fpr": FALSE_ALARMS} | ({} if weights is None else {"weights": weights})
    return [
        {"label": "LPIPS residual", "parts": [{"name": "detect/lpips", "args": own}]},
        {"label": "L2 residual", "parts": [{"name": "detect/magnet", "args": {**own, "statistic": "l2"}}]},
        {"label": "opinion (JSD)", "parts": [{"name": "detect/magnet", "args": {**own, "statistic": "jsd"}}]},
    ]


def _grids(data: str, size: int, target: str, weights: str | None) -> list[dict[str, Any]]:
    common = {"data": [{"name": data, "split": "test", "count": COUNT, "size": size}], "targets": [target]}
    return [
        {
            **common,
            "attacks": ["image/fgsm", PGD, *CW],
            "budgets": [{"name": "Linf", "radius": r} for r in RADII],
            "defenses": ["none", *_detectors(weights)],
            "knowledge": ["oblivious"],
        },
        {
            **common,
            "attacks": [PGD],
            "budgets": [{"name": "Linf", "radius": r} for r in RADII],
            "defenses": _detectors(weights),
            "knowledge": ["adaptive"],
        },
    ]


def _claims(data: str) -> list[dict[str, Any]]:
    at = {"data": data, "attack": "image/pgd", "budget": "Linf", "radius": "8/255"}
    return [
        {
            "statement": f"{data}: LPIPS to the own reconstruction finds oblivious PGD at 8/255 with an AUC over 0.9",
            "metric": "auc",
            "of": {**at, "defense": "LPIPS residual", "knowledge": "oblivious"},
            "relation": ">",
            "margin": 0.9,
        },
        {
            "statement": f"{data}: LPIPS finds oblivious PGD at 8/255 better than the squared error does (AUC)",
            "metric": "auc",
            "of": {**at, "defense": "LPIPS residual", "knowledge": "oblivious"},
            "versus": {**at, "defense": "L2 residual", "knowledge": "oblivious"},
            "relation": ">",
            "margin": 0.0,
        },
        {
            "statement": f"{data}: with the score in its loss, PGD at 8/255 passes the LPIPS detector on at least 50 "
            "points more of the images",
            "metric": "success",
            "of": {**at, "defense": "LPIPS residual", "knowledge": "adaptive"},
            "versus": {**at, "defense": "LPIPS residual", "knowledge": "oblivious"},
            "relation": ">",
            "margin": 0.5,
        },
    ]
