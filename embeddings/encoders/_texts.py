"""What every text encoder asks of its caller's texts."""

from advgen.core.errors import BadArgument


def listed(texts: object) -> list[str]:
    """`texts` as a list of texts.

    Raises:
        BadArgument: one text, or something in the list that is none.
    """
    if isinstance(texts, str):
        raise BadArgument(f"a list of texts was expected, got one text; write [{texts[:40]!r}].")
    if not isinstance(texts, list | tuple):
        raise BadArgument(f"a list of texts was expected, got a {type(texts).__name__}.")
    for text in texts:
        if not isinstance(text, str):
            raise BadArgument(f"a list of texts was expected, got one that holds the {type(text).__name__} {text!r}.")
    return list(texts)


def shown(text: str) -> str:
    """The beginning of a text, quoted, for a sentence."""
    return repr(text if len(text) <= 60 else f"{text[:59]}…")
