"""Which rows of w carry a person, and what a face swap keeps of the picture it is made in."""

from typing import Any

from advgen.experiments.study import Study, parse

QUESTION = "Which rows of w carry identity, and how near does a face swap in latent space come to the true swap?"
DESCRIPTION = (
    "Pairs of held-out avatars: the source's person is to stand in the driving face's picture. The renderer draws the "
    "true swap. Rows of w are taken from the source a few at a time; persons and attributes are read by the judge of "
    "edits on saved bytes. Controls: the driving picture as it is, and the true swap."
)
ROWS = ((0, 1), (1, 2), (2, 3), (3, 5), (6, 9), (1, 3), (0, 9))


def study() -> Study:
    arms: list[dict[str, Any]] = [
        {"arm": "driving picture", "args": {"shown": "driving"}},
        {"arm": "true swap", "args": {"shown": "true"}},
    ]
    arms += [{"arm": _arm(*rows, "difference"), "args": {"first": rows[0], "last": rows[1]}} for rows in ROWS]
    arms += [{"arm": _arm(1, 2, "paste"), "args": {"blend": "paste"}}]
    arms += [{"arm": _arm(1, 2, "paste, encoder alone"), "args": {"blend": "paste", "inversion": "encoder"}}]
    return parse(
        {
            "name": "face_swap",
            "question": QUESTION,
            "description": DESCRIPTION,
            "measurements": [{"measure": "face_swap", "arms": arms, "seeds": [0]}],
            "claims": [
                _claim("Rows 1 and 2 carry more of the person than the fine rows", "source_found", _arm(6, 9)),
                _claim("Rows 1 and 2 keep hair colour better than rows 1 to 3", "hair_colour_kept", _arm(1, 3)),
                _claim("The difference keeps expression better than a pasted face", "expression_kept",
                       _arm(1, 2, "paste")),
            ],
        },
        "face_swap",
    )  # fmt: skip


def _arm(first: int, last: int, blend: str = "difference") -> str:
    return f"rows {first} to {last}, {blend}"


def _claim(statement: str, quantity: str, versus: str) -> dict[str, Any]:
    return {
        "statement": statement,
        "quantity": quantity,
        "of": {"arm": _arm(1, 2)},
        "versus": {"arm": versus},
        "relation": ">",
    }
