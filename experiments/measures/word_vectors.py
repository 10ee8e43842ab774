"""Word vectors by one method from one text: quality by domain, what another seed and other text change, time, memory.

All methods get the same tokens, vocabulary, dimension, window and passes. Quality is Spearman's correlation with
people's similarity scores, general and biomedical, over the pairs that are known. A word's neighbours are compared with
those from another seed, from the words of the text that follow, and from the other text: what differs between two texts
says nothing below what the first two differ by. Trainings are kept in the cache and shared by measurements.
"""

import ctypes
import hashlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, final

import numpy as np
import torch

from advgen.core.checkpoints import card_path, read_card
from advgen.core.errors import BadArgument
from advgen.core.files import sha256
from advgen.core.meter import Meter
from advgen.core.specs import Card
from advgen.embeddings import formats, judging, wordsets
from advgen.embeddings.corpora.tokens import Tokens
from advgen.embeddings.drawing.caption import Drawing
from advgen.embeddings.drawing.maps import draw
from advgen.embeddings.drawing.picture import picture
from advgen.embeddings.glove.model import GloVe
from advgen.embeddings.neighbours import Rows, common, nearest_rows, shared_words
from advgen.embeddings.shift import DomainShift, domain_shift
from advgen.embeddings.vectors import Vectors
from advgen.embeddings.word2vec import Word2Vec
from advgen.experiments.data._files import cache_folder
from advgen.experiments.measured import Measured, Picture, Reading
from advgen.experiments.measures._words import BIOMEDICAL, GENERAL, judged, read_set, set_file, tokens_of

NEAREST = 10
ASKED = 1000  # most frequent words whose neighbours are compared
DRAWN, SKIPPED = 300, 100  # words of the map, and the very first that it leaves out
FIRST_SEED, NEXT_PART = 0, 1  # of the training on other text


@final
@dataclass(frozen=True)
class WordVectors:
    """One training, its judging, and its neighbours beside those of others."""

    quantities: ClassVar = {
        "MEN": {"means": "Spearman's correlation with people's scores of MEN's 3,000 pairs", "better": "higher"},
        "WordSim-353": {"means": "Spearman's correlation with the scores of WordSim-353", "better": "higher"},
        "SimLex-999": {"means": "Spearman's correlation with the scores of SimLex-999", "better": "higher"},
        "UMNSRS similarity": {"means": "Spearman's correlation with physicians' scores", "better": "higher"},
        "UMNSRS relatedness": {"means": "Spearman's correlation with physicians' scores", "better": "higher"},
        "Bio-SimLex": {"means": "Spearman's correlation with biologists' scores of nouns", "better": "higher"},
        "coverage of MEN": {"means": "share of pairs both of whose words have a vector", "unit": "share"},
        "coverage of WordSim-353": {"means": "share of pairs both of whose words have a vector", "unit": "share"},
        "coverage of SimLex-999": {"means": "share of pairs both of whose words have a vector", "unit": "share"},
        "coverage of UMNSRS similarity": {"means": "share of pairs both of whose words are known", "unit": "share"},
        "coverage of UMNSRS relatedness": {"means": "share of pairs both of whose words are known", "unit": "share"},
        "coverage of Bio-SimLex": {"means": "share of pairs both of whose words have a vector", "unit": "share"},
        "Google analogies": {
            "means": "share of the questions all of whose words are known that are answered", "unit": "share",
            "better": "higher",
        },
        "coverage of Google analogies": {"means": "share of questions all of whose words are known", "unit": "share"},
        "kept by another seed": {
            "means": "share of a word's 10 nearest that another seed gives, too (1,000 most frequent words)",
            "unit": "share",
        },
        "kept by other text": {
            "means": "share of a word's 10 nearest that as much further text of the same kind gives, too",
            "unit": "share",
        },
        "shared with the other text": {
            "means": "share of a word's 10 nearest that the text of the other kind gives, too", "unit": "share",
        },
        "shifted beyond another seed": {
            "means": "share of shared words whose 50 nearest differ more between the kinds of text than between seeds",
            "unit": "share",
        },
        "shifted beyond other text": {
            "means": "the same, more than between two texts of each kind", "unit": "share",
        },
        "CPU time": {
            "means": "processor time of the training, counting included", "unit": "s", "better": "lower",
            "timing": True, "log": True,
        },
        "memory": {
            "means": "the training's own memory at its peak, mapped files left out", "unit": "MB", "better": "lower",
            "timing": True, "log": True,
        },
    }  # fmt: skip
    plots = (("CPU time", "MEN"), ("CPU time", "UMNSRS similarity"), ("kept by another seed", "kept by other text"))

    method: Literal["glove", "skip-gram", "cbow"] = "glove"
    text: str = "wikipedia"  # or another name that `tokens_of` knows
    other: str = "pubmed"  # the text of the other kind
    tokens: int = 500_000  # words of each text
    words: int = 5_000  # size of the vocabulary at most
    min_count: int = 5
    dim: int = 50  # numbers a vector
    window: int = 8  # words to each side at most
    epochs: int = 4  # passes over the text
    seeds: int = 3  # each training is compared with that of the next seed, the last one's with the first one's

    def __post_init__(self) -> None:
        if self.seeds < 2:
            raise BadArgument(f"seeds must be at least 2, got {self.seeds}: one seed has no other to differ from.")
        if self.text == self.other:
            raise BadArgument(f"the other text must be another one, got {self.other!r} twice.")

    def inputs(self) -> Mapping[str, str]:
        files = {name: path for name in (*GENERAL, *BIOMEDICAL) if (path := set_file(name)) is not None}
        texts = {name: tokens_of(name, self.tokens).hash for name in (self.text, self.other)}
        return {**texts, **{name: sha256(path) for name, path in files.items()}}

    def run(self, *, seed: int, device: torch.device, meter: Meter, out: Path) -> Measured:
        again = (seed + 1) % self.seeds
        own = self._trained(self.text, seed)
        meter.seconds += own.seconds
        mine, next_text = own.vectors, self._trained(self.text, FIRST_SEED, part=NEXT_PART).vectors
        theirs, their_next = (
            self._trained(self.other, s, part=p).vectors for s, p in ((seed, 0), (FIRST_SEED, NEXT_PART))
        )
        other_seed, their_seed = (self._trained(text, again).vectors for text in (self.text, self.other))
        known = shared_words(mine, other_seed, next_text, theirs, n=NEAREST)[:ASKED]
        compared = {
            "kept by another seed": other_seed, "kept by other text": next_text, "shared with the other text": theirs,
        }  # fmt: skip
        readings = [r for name, vectors in compared.items() for r in _kept(mine, vectors, known, name)]
        beyond_seed = domain_shift([mine, other_seed], [theirs, their_seed])
        beyond_text = domain_shift([mine, next_text], [theirs, their_next])
        readings += [
            Reading.of_arm(seed, "shifted beyond another seed", beyond_seed.claimed / len(beyond_seed.shifts)),
            Reading.of_arm(seed, "shifted beyond other text", beyond_text.claimed / len(beyond_text.shifts)),
            Reading.of_arm(seed, "CPU time", own.cpu_seconds),
            Reading.of_arm(seed, "memory", own.memory_mb),
        ]
        notes = [self._text_note(), _shift_note(beyond_text, self.text, self.other, self.method)] if not seed else []
        for name in (*GENERAL, *BIOMEDICAL):
            if pairs := read_set(name):
                readings += judged(mine, pairs, name)[1]
            else:
                notes.append(f"{name} is not on this machine, and was not asked.")
        readings += _analogies(mine, seed)
        pictures = [] if seed else [self._map(mine, out)]
        return Measured(readings, pictures=pictures, notes=notes)

    def _trained(self, text: str, seed: int, *, part: int = 0) -> "_Training":
        """Vectors of a text; from the cache where this training was made before."""
        method, tokens = self._method(seed), tokens_of(text, self.tokens, part=part)
        key = hashlib.blake2b(json.dumps([self.method, asdict(method), tokens.hash]).encode(), digest_size=8)
        path = cache_folder() / "word_vectors" / f"{key.hexdigest()}.safetensors"
        if not card_path(path).is_file():
            _train(method, tokens, path, self.method)
        cost = read_card(path).cost
        return _Training(formats.load(path), cost["seconds"], cost["cpu seconds"], cost["memory MB"])

    def _method(self, seed: int) -> GloVe | Word2Vec:
        shared: dict[str, Any] = {
            "dim": self.dim, "window": self.window, "epochs": self.epochs, "min_count": self.min_count,
            "max_words": self.words, "seed": seed,
        }  # fmt: skip
        return GloVe(**shared) if self.method == "glove" else Word2Vec(architecture=self.method, **shared)

    def _text_note(self) -> str:
        tokens = tokens_of(self.text, self.tokens)
        return (
            f"{self.text}: {tokens.words:,} words, at most {self.words:,} different ones that occur {self.min_count} "
            f"times or more; dimension {self.dim}, window {self.window}, {self.epochs} passes."
        )

    def _map(self, vectors: Vectors, out: Path) -> Picture:
        words = list(vectors.words[SKIPPED : SKIPPED + DRAWN])
        source = f"{self.method} from {self.tokens:,} words of {self.text}"
        drawing = Drawing(draw(vectors, words), f"{self.text}, {self.method}", source)
        path = out / "map.png"
        picture(path, drawing, dots_per_inch=100)
        return Picture(path.read_bytes(), drawing.caption)


class _Training(NamedTuple):
    vectors: Vectors
    seconds: float
    cpu_seconds: float
    memory_mb: float | None  # None where the system does not tell


def _train(method: GloVe | Word2Vec, tokens: Tokens, path: Path, name: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(method, GloVe):
        _compile(path.parent)
    with _memory() as peak:
        begun = time.perf_counter(), time.process_time()
        if isinstance(method, GloVe):
            vectors = method.train(tokens, path.parent).vectors
        else:
            vectors = method.train(tokens)
        spent = time.perf_counter() - begun[0], time.process_time() - begun[1]
    cost = {"seconds": spent[0], "cpu seconds": spent[1], "memory MB": peak[0] if peak else None}
    args = {**asdict(method), "keep": ""}
    card = Card(path.stem, "vectors", name, args, method.seed, tokens.hash, "", {}, cost, "as the text")
    formats.save(path, vectors, card)


def _compile(folder: Path) -> None:
    """Runs numba's loops once, so that no training's time holds their compiling."""
    GloVe(dim=4, epochs=1, min_count=1, max_words=50, memory_bytes=1 << 24).train(
        tokens_of("pubmed-excerpt", 2_000), folder
    )


@contextmanager
def _memory() -> Iterator[list[float]]:
    """The largest growth of this process's own memory (RssAnon) in the block, MB; empty where /proc does not tell."""
    status, ended = Path("/proc/self/status"), threading.Event()
    peak: list[float] = []

    def own() -> float:
        return next(int(x.split()[1]) / 1000 for x in status.read_text().splitlines() if x.startswith("RssAnon"))

    def watch(first: float) -> None:
        while not ended.wait(0.02):
            peak[:] = [max(*peak, own() - first)] if peak else [own() - first]

    if not status.is_file() or "RssAnon" not in status.read_text():
        yield peak
        return
    _give_back()
    thread = threading.Thread(target=watch, args=(own(),), daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def _give_back() -> None:
    """Hands what was freed before back to the system: it would be used again, and not count (glibc alone)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _kept(one: Vectors, other: Vectors, asked: tuple[str, ...], quantity: str) -> list[Reading]:
    """For each word the share of its nearest that both give, among the words that both know."""
    known = shared_words(one, other, n=NEAREST)
    near = [_nearest(space.only(known), asked) for space in (one, other)]
    return [Reading(f"word/{w}", quantity, float(s)) for w, s in zip(asked, common(*near), strict=True)]


def _nearest(space: Vectors, asked: tuple[str, ...]) -> Rows:
    return nearest_rows(space, np.array([space.number(w) for w in asked]), NEAREST)


def _analogies(vectors: Vectors, seed: int) -> list[Reading]:
    total = judging.analogies(vectors, wordsets.embedded()[1]["Google analogies"]).total
    return [
        Reading.of_arm(seed, "Google analogies", total.accuracy),
        Reading.of_arm(seed, "coverage of Google analogies", total.n / total.questions),
    ]


def _shift_note(shift: DomainShift, one: str, other: str, method: str) -> str:
    """The words that shift most."""
    claimed = [s for s in shift.shifts if s.claimed][:8]
    told = "; ".join(f"{s.word} ({', '.join(s.near[0][:3])} / {', '.join(s.near[1][:3])})" for s in claimed)
    return (
        f"{method}, {one} / {other}: {shift.claimed:,} of {len(shift.shifts):,} words shift beyond what other text "
        f"does (noise: at most {shift.by_noise:.0f}); first {told or 'none'}."
    )
