"""A small corpus with structure, tokenised."""

import numpy as np
import pytest

from advgen.embeddings.corpora.text import PlainText
from advgen.embeddings.corpora.tokeniser import Tokeniser
from advgen.embeddings.corpora.tokens import Tokens, tokenise


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    """24,000 words over 120: seven of ten in a sentence are of its topic (w0..w39, w40..w79 or w80..w119)."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    lines = []
    for sentence in range(1200):
        topic = rng.integers(0, 40, 20) + 40 * (sentence % 3)
        numbers = np.where(rng.random(20) < 0.7, topic, rng.integers(0, 120, 20))
        lines.append(" ".join(f"w{n}" for n in numbers))
    (folder / "corpus.txt").write_text("\n".join(lines) + "\n")
    return tokenise(PlainText([folder / "corpus.txt"]), Tokeniser(), folder)
