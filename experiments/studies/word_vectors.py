"""Which word vectors does a small text give: skip-gram, CBOW or GloVe, from Wikipedia or from PubMed?"""

from typing import Any

from advgen.experiments.study import Study, parse

QUESTION = "Which method gives the better word vectors of a small text, and how much does the text decide?"
DESCRIPTION = (
    "Skip-gram, CBOW (5 noise words) and GloVe on 500,000 words each of Wikipedia and of PubMed abstracts: the same "
    "tokens, vocabulary, dimension, window and passes; GloVe also with three times the passes, which cost it little. "
    "Similarity sets of both domains with their coverage, three seeds, and a word's neighbours beside those from "
    "another seed, from further text of the same kind, and from the other kind of text."
)
TEXTS = {"Wikipedia": ("wikipedia", "pubmed"), "PubMed": ("pubmed", "wikipedia")}
SKIP_GRAM, CBOW, GLOVE, LONGER = "skip-gram", "CBOW", "GloVe", "GloVe, 12 passes"
ARMS = {
    SKIP_GRAM: {"method": "skip-gram"},
    CBOW: {"method": "cbow"},
    GLOVE: {"method": "glove"},
    LONGER: {"method": "glove", "epochs": 12},
}


def study() -> Study:
    return parse(
        {
            "name": "word_vectors",
            "question": QUESTION,
            "description": DESCRIPTION,
            "measurements": [_entry(label, text, other) for label, (text, other) in TEXTS.items()],
            "claims": [*_methods(), *_domains(), *_costs()],
        },
        "word_vectors",
    )


def _entry(label: str, text: str, other: str) -> dict[str, Any]:
    return {
        "measure": "word_vectors",
        "label": label,
        "args": {"text": text, "other": other},
        "arms": [{"arm": arm, "args": args} for arm, args in ARMS.items()],
        "seeds": [0, 1, 2],
    }


def _claim(statement: str, quantity: str, of: tuple[str, str], versus: tuple[str, str], **more: Any) -> dict[str, Any]:
    sides = {side: {"label": label, "arm": arm} for side, (label, arm) in (("of", of), ("versus", versus))}
    return {"statement": statement, "quantity": quantity, **sides, "relation": ">", "margin": 0.0, **more}


def _methods() -> list[dict[str, Any]]:
    sets = {"Wikipedia": "MEN", "PubMed": "UMNSRS similarity"}
    return [
        _claim(f"{label}: skip-gram is better than {other} on {quantity}", quantity, (label, SKIP_GRAM), (label, other))
        for label, quantity in sets.items()
        for other in (CBOW, GLOVE, LONGER)
    ]


def _domains() -> list[dict[str, Any]]:
    return [
        claim
        for arm in (SKIP_GRAM, GLOVE)
        for claim in (
            _claim(f"{arm}: on medical terms, PubMed is better than as much Wikipedia, by 0.1 of UMNSRS similarity",
                   "UMNSRS similarity", ("PubMed", arm), ("Wikipedia", arm), margin=0.1),
            _claim(f"{arm}: on everyday words, Wikipedia is better than as much PubMed, by 0.1 of MEN",
                   "MEN", ("Wikipedia", arm), ("PubMed", arm), margin=0.1),
        )
    ]  # fmt: skip


def _costs() -> list[dict[str, Any]]:
    return [
        _claim(f"Wikipedia: {arm} takes less than half of skip-gram's processor time", "CPU time", ("Wikipedia", arm),
               ("Wikipedia", SKIP_GRAM), ratio=True, relation="<", margin=0.5)
        for arm in (CBOW, GLOVE)
    ]  # fmt: skip
