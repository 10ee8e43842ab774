"""What does a softmax over all words cost, and what do hierarchical softmax and negative sampling give up for it?"""

from typing import Any

from advgen.experiments.study import Study, parse

QUESTION = "What does a softmax over all words cost, and what is given up by not paying it?"
DESCRIPTION = (
    "Skip-gram on the same tokens, vocabulary of 10,000 words, dimension, windows and rate by the full softmax, by "
    "hierarchical softmax, and by negative sampling with 2, 5 and 20 noise words: the reason for negative sampling "
    "(Mikolov et al. 2013, arXiv 1310.4546), measured. The full softmax is the cheapest exact form: one for all "
    "contexts of a centre, one matrix product for 64 centres."
)
FULL, HIERARCHICAL = "full softmax", "hierarchical softmax"
NOISE = (2, 5, 20)
TEXTS = {
    "excerpt": {"text": "excerpt", "tokens": 60_000},
    "Wikipedia": {"text": "wikipedia/enwiki_2018_p12-p30302_every3rd.txt.xz", "tokens": 800_000},
}


def study() -> Study:
    return parse(
        {
            "name": "softmax_cost",
            "question": QUESTION,
            "description": DESCRIPTION,
            "measurements": [_entry(label, args) for label, args in TEXTS.items()],
            "claims": [*_times("Wikipedia"), *_qualities("Wikipedia")],
        },
        "softmax_cost",
    )


def noise(k: int) -> str:
    return f"negative sampling, k = {k}"


def _entry(label: str, args: dict[str, Any]) -> dict[str, Any]:
    return {
        "measure": "softmax_cost",
        "label": label,
        "args": args,
        "arms": [
            {"arm": FULL, "args": {"objective": "full"}},
            {"arm": HIERARCHICAL, "args": {"objective": "hierarchical"}},
            *({"arm": noise(k), "args": {"objective": "negative", "k": k}} for k in NOISE),
        ],
        "seeds": [0, 1, 2],
    }


def _times(label: str) -> list[dict[str, Any]]:
    return [
        {
            "statement": f"{label}: {arm} takes less than a tenth of the full softmax's processor time a token",
            "quantity": "CPU time a token",
            "of": {"label": label, "arm": arm},
            "versus": {"label": label, "arm": FULL},
            "ratio": True,
            "relation": "<",
            "margin": 0.1,
        }
        for arm in (HIERARCHICAL, noise(5))
    ]


def _qualities(label: str) -> list[dict[str, Any]]:
    def claim(statement: str, of: str, versus: str, relation: str, margin: float) -> dict[str, Any]:
        return {
            "statement": f"{label}: {statement}",
            "quantity": "MEN",
            "of": {"label": label, "arm": of},
            "versus": {"label": label, "arm": versus},
            "relation": relation,
            "margin": margin,
        }

    return [
        claim("negative sampling with 5 words gives up less than 0.03 on MEN", noise(5), FULL, ">", -0.03),
        claim("more noise words are better on MEN, 20 against 2", noise(20), noise(2), ">", 0.0),
        claim("negative sampling with 5 words is better on MEN than hierarchical softmax", noise(5), HIERARCHICAL, ">",
              0.0),
    ]  # fmt: skip
