"""Text encoders by reference: word vectors, `clip:MODEL`, or `random:VECTORS`, the control.

The control knows the same words as the vectors that it names, with the same counts and so the same weights; only the
numbers are drawn, from a seed. On words of the training it can learn everything; of an unseen word it knows nothing.
"""

import torch

from advgen.core import registry
from advgen.core.rng import stream_seed
from advgen.core.types import TextEncoder
from advgen.embeddings import formats
from advgen.embeddings.encoders.phrase import Phrase
from advgen.embeddings.vectors import Vectors


def named(ref: str) -> tuple[str, str]:
    """Which kind of encoder (phrase, clip, random) and of what."""
    kind, colon, rest = ref.partition(":")
    return (kind, rest) if colon and kind in ("clip", "random") else ("phrase", ref)


def encoder_of(ref: str, seed: int) -> TextEncoder:
    """The encoder of a reference; `seed` draws the vectors of a control.

    Raises:
        MissingFile: the vectors or the model are not there.
    """
    kind, of = named(ref)
    if kind == "clip":
        clip: TextEncoder = registry.create("encoders", "clip", model=of)
        return clip
    return Phrase(of) if kind == "phrase" else Phrase(at_random(formats.load(formats.find(of)), seed))


def at_random(vectors: Vectors, seed: int) -> Vectors:
    """Vectors of the same words and counts, each number drawn from a normal distribution."""
    draws = torch.Generator().manual_seed(stream_seed(seed, "random vectors", ""))
    matrix = torch.randn(len(vectors), vectors.dim, generator=draws).numpy()
    return Vectors(vectors.words, matrix, vectors.counts)
