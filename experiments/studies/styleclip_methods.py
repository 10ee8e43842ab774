"""StyleCLIP's methods and what they are compared with: which does what is asked, and what else does it change?"""

from typing import Any

from advgen.experiments.study import Study, parse

QUESTION = "Which way of editing by text does what is asked of an inverted portrait, and leaves the rest alone?"
DESCRIPTION = (
    "Six edits (hair colour, glasses, beard, hat, smile, age lines) of held-out avatars, inverted by the encoder of "
    "the shipped generator and guided by the embedded CLIP, which stands in for the published one. Strength and beta "
    "are chosen on validation avatars. A judge that no method sees reads the saved bytes; its own error on true edits "
    "stands on its card. Latent optimisation, which costs a hundred times as much, has one edit and fewer images. "
    "Avatars alone: the shipped CLIP knows no clothes, so there is no row of real pictures."
)
ARMS: dict[str, dict[str, Any]] = {
    "global direction": {"method": "global"},
    "global direction, region": {"method": "global", "region": 0.25},
    "solved direction, region": {"method": "solved", "region": 0.25},
    "random direction": {"method": "random"},
    "boundary from labels": {"method": "labels"},
    "SeFa": {"method": "sefa"},
    "best of 4 samples": {"method": "best_of", "calls": 4},
}
COSTLY: dict[str, dict[str, Any]] = {
    "global direction, region": {"method": "global", "region": 0.25},
    "latent optimisation, region": {"method": "latent", "region": 0.25},
}
ALL, FEW = "all edits", "glasses, few images"


def study() -> Study:
    """Seven arms on all edits, two on one edit and fewer images."""
    few = {"edits": "glasses", "count": 4, "validation": 2, "steps": 30}
    return parse(
        {
            "name": "styleclip_methods",
            "question": QUESTION,
            "description": DESCRIPTION,
            "measurements": [
                {"measure": "editing", "label": ALL, "arms": _arms(ARMS), "seeds": [0]},
                {"measure": "editing", "label": FEW, "args": few, "arms": _arms(COSTLY), "seeds": [0]},
            ],
            "claims": _claims(),
        },
        "styleclip_methods",
    )


def _arms(arms: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"arm": name, "args": args} for name, args in arms.items()]


def _claims() -> list[dict[str, Any]]:
    def claim(statement: str, quantity: str, arm: str, relation: str, other: str = "", **more: Any) -> dict[str, Any]:
        versus = {"versus": {"label": ALL, "arm": other}} if other else {}
        own = {"statement": statement, "quantity": quantity, "of": {"label": ALL, "arm": arm}, "relation": relation}
        return {**own, **versus, **more}

    region = "global direction, region"
    return [
        claim("A region leaves more edits exact than the whole picture", "exact", region, ">", "global direction"),
        claim("A region keeps more identities", "identity", region, ">", "global direction"),
        claim("Text finds what a random direction does not", "asked_for", "global direction", ">", "random direction"),
        claim("The asked-for change is there in at least 85%", "asked_for", region, ">", margin=0.85),
        claim("Exactly that change is there in at least 60%", "exact", region, ">", margin=0.6),
        claim("Identity is kept in at least 85%", "identity", region, ">", margin=0.85),
    ]
