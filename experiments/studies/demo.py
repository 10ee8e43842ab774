"""Does a denoising autoencoder stop PGD, and does LPIPS see it? On shipped avatars and digits, in minutes."""

from typing import Any

from advgen.experiments.study import Study, parse

QUESTION = "Does a denoising autoencoder stop PGD, and does LPIPS see it?"
DESCRIPTION = (
    "Small networks on procedural portraits (who is it?) and on digits, attacked with one step, with many, and through "
    "the defense itself. The claims rest on avatars and digits alone."
)
COUNT = 64
PGD = {"name": "image/pgd", "args": {"steps": 20}}
FALSE_ALARMS = 0.05


def study() -> Study:
    return parse(
        {
            "name": "demo",
            "question": QUESTION,
            "description": DESCRIPTION,
            "grids": [
                _grid("avatars", 32, "avatars_identity_32", ("2/255", "4/255"), "avatars_identity_32_b"),
                _grid("digits", None, "digits_classifier", ("16/255", "32/255"), None),
            ],
            "claims": [
                *_claims("avatars", "2/255"),
                *_claims("digits", "32/255"),
            ],
        },
        "demo",
    )


def _grid(data: str, size: int | None, target: str, radii: tuple[str, ...], surrogate: str | None) -> dict[str, Any]:
    return {
        "data": [{"name": data, "split": "test", "count": COUNT, "size": size}],
        "targets": [target],
        "attacks": ["image/fgsm", PGD],
        "budgets": [{"name": "Linf", "radius": r} for r in radii],
        "defenses": [
            "none",
            {"label": "autoencoder", "parts": ["purify/dae"]},
            {"label": "LPIPS alarm", "parts": [{"name": "detect/lpips", "args": {"fpr": FALSE_ALARMS}}]},
            {
                "label": "autoencoder + LPIPS alarm",
                "parts": ["purify/dae", {"name": "detect/lpips", "args": {"fpr": FALSE_ALARMS}}],
            },
        ],
        "knowledge": ["oblivious", "adaptive", *(["transfer"] if surrogate else [])],
        "surrogate": surrogate,
    }


def _claims(data: str, radius: str) -> list[dict[str, Any]]:
    at = {"data": data, "attack": "image/pgd", "budget": "Linf", "radius": radius}
    return [
        {
            "statement": f"On {data}, the autoencoder wins back at least 10 points from PGD that does not know of it "
            f"(Linf {radius})",
            "metric": "robust_accuracy",
            "of": {**at, "defense": "autoencoder", "knowledge": "oblivious"},
            "versus": {**at, "defense": "", "knowledge": "oblivious"},
            "relation": ">",
            "margin": 0.1,
        },
        {
            "statement": f"On {data}, PGD through the autoencoder leaves at least 10 points less than PGD that does "
            f"not know of it (Linf {radius})",
            "metric": "robust_accuracy",
            "of": {**at, "defense": "autoencoder", "knowledge": "adaptive"},
            "versus": {**at, "defense": "autoencoder", "knowledge": "oblivious"},
            "relation": "<",
            "margin": -0.1,
        },
        {
            "statement": f"On {data}, LPIPS to the rebuilt image tells attacked images from clean ones with an AUC "
            f"over 0.8 when the attacker does not know of it (Linf {radius})",
            "metric": "auc",
            "of": {**at, "defense": "LPIPS alarm", "knowledge": "oblivious"},
            "relation": ">",
            "margin": 0.8,
        },
    ]
