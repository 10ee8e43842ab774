"""Two small corpora that need no download: a dump of Wikipedia inside gensim, and the abstracts of PubMedQA.

The abstracts are the 1,000 labelled ones of Jin et al. 2019 (arXiv 1909.06146): 252,780 words, question, contexts and
conclusion joined, one a line. Source and licence stand in the file beside them.
"""

from importlib.util import find_spec
from pathlib import Path

from advgen.core.errors import MissingFile

IN_GENSIM = "enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
PUBMEDQA = "pubmedqa.txt.xz"


def wikipedia_excerpt() -> Path:
    """The dump of 106 articles that comes with the installed gensim package.

    Raises:
        MissingFile: that package has no test data.
    """
    return in_gensim(IN_GENSIM)


def in_gensim(name: str) -> Path:
    """A file of the installed gensim package's test data.

    Raises:
        MissingFile: that package has none.
    """
    spec = find_spec("gensim")
    path = Path(spec.origin).parent / "test" / "test_data" / name if spec and spec.origin else None
    if path is None or not path.is_file():
        raise MissingFile(f"{name} is part of the gensim package's test data; pip install gensim.")
    return path


def pubmed_excerpt() -> Path:
    """The abstracts of PubMedQA, as text."""
    path = Path(__file__).with_name(PUBMEDQA)
    if not path.is_file():
        raise MissingFile(f"{PUBMEDQA} is missing from the installation; install advgen again.")
    return path
