"""How well does the embedded CLIP read portraits, held out, made again, and the generator's own?"""

from typing import Any

from advgen.experiments.study import Study, parse

QUESTION = "Does the embedded CLIP tell attributes by text alone, on portraits and on what the generator makes?"
DESCRIPTION = (
    "Attributes are asked for by a text a value, nothing is taught; a logistic regression on the same features stands "
    "beside. Captions compete with 99 that differ in one attribute. Held out: persons, two phrasings, combinations of "
    "attributes, and all unseen synonyms. Samples of the generator are read by the judge's network."
)
PORTRAITS, AGAIN, SAMPLES = "held-out portraits", "portraits made again", "samples of the generator"
ARMS: dict[str, dict[str, Any]] = {
    PORTRAITS: {"pictures": "portraits"},
    AGAIN: {"pictures": "made again"},
    SAMPLES: {"pictures": "samples"},
}
MEAN, WORST, FIRST = 0.90, 0.75, 0.60


def study() -> Study:
    return parse(
        {
            "name": "clip_reading",
            "question": QUESTION,
            "description": DESCRIPTION,
            "measurements": [
                {"measure": "clip_reading", "arms": [{"arm": name, "args": args} for name, args in ARMS.items()]}
            ],
            "claims": [claim for arm in (PORTRAITS, SAMPLES) for claim in _attributes(arm)] + _captions(),
        },
        "clip_reading",
    )


def _attributes(arm: str) -> list[dict[str, Any]]:
    return [
        _claim(f"{arm}: attributes by text are right in {MEAN:.0%}, balanced, on average", "zero_shot", arm, MEAN),
        _claim(f"{arm}: the worst attribute is right in {WORST:.0%}", "worst", arm, WORST),
    ]


def _captions() -> list[dict[str, Any]]:
    return [
        _claim(f"The right caption is first of 100 nearly right ones in {FIRST:.0%}", "r1", PORTRAITS, FIRST),
        _claim(f"And in unseen phrasings in {FIRST:.0%}", "r1_phrasings", PORTRAITS, FIRST),
    ]


def _claim(statement: str, quantity: str, arm: str, margin: float) -> dict[str, Any]:
    return {"statement": statement, "quantity": quantity, "of": {"arm": arm}, "relation": ">", "margin": margin}
