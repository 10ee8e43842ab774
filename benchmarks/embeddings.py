"""Word vectors: GloVe beside the reference C program, memory and time by the length of the corpus, Word2Vec beside gensim.

    python benchmarks/embeddings.py glove TEXT... [--words 1000000] [--seeds 3] [--program GLOVE/build] [--fast GLOVE/build-Ofast]
    python benchmarks/embeddings.py linear TEXT... --memory 100 --max-words 10000
    python benchmarks/embeddings.py word2vec TEXT... --words 1000000

TEXT is plain text, a paragraph a line, compressed or not; both sides read the same tokens. --program and --fast are
folders of a user's builds of the reference program (vocab_count, cooccur, shuffle, glove), as shipped and with -Ofast;
without them ours is measured alone. The program's cost is half of our loss. CPU seconds count every thread, wall time
is not compared; numba's compiling is done before, on a few words. --sets is a folder of word sets to score by. Memory is
what a process holds of its own (RssAnon): mapped files are the system's to take back.
"""  # noqa: E501

import argparse
import multiprocessing
import re
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from advgen.embeddings import formats, judging, neighbours, wordsets
from advgen.embeddings.corpora.text import PlainText
from advgen.embeddings.corpora.tokeniser import Tokeniser
from advgen.embeddings.corpora.tokens import Tokens, tokenise
from advgen.embeddings.glove.model import GloVe
from advgen.embeddings.vectors import Vectors
from advgen.embeddings.vocabulary import count_words
from advgen.embeddings.word2vec import Word2Vec

X_MAX = 10
RECORD = 16  # bytes of one of the program's entries
PAIRS = ("EN-MEN-TR-3k", "EN-SimVerb-3500", "EN-RW-STANFORD")
SHARES = (0.1, 0.3, 1.0)


class Measured(NamedTuple):
    counting: float  # CPU seconds up to the shuffled entries
    descent: float  # CPU seconds
    entries: int
    cost: float
    peak_mb: float
    vectors: Vectors

    @property
    def cpu_seconds(self) -> float:
        return self.counting + self.descent


def ours(tokens: Tokens, folder: Path, *, seed: int, threads: int, memory_mb: int) -> Measured:
    """Vocabulary, counts, arrangement and descent, with the program's rule for biases."""
    method = GloVe(x_max=X_MAX, program_bias=True, seed=seed, threads=threads, memory_bytes=memory_mb * 1_000_000)
    marks: list[float] = []
    with peak_of_own_memory() as peak:
        begun = time.process_time()
        # A line is told at the end of each pass, so that the first pass is taken to last as long as the others.
        trained = method.train(tokens, folder, tell=lambda _: marks.append(time.process_time()))
        spent = time.process_time() - begun
    descent = (marks[-1] - marks[-method.epochs]) * method.epochs / (method.epochs - 1)
    return Measured(
        spent - descent, descent, trained.facts["entries"], trained.losses[-1] / 2, peak[0], trained.vectors
    )


def program(tokens: Tokens, folder: Path, build: Path, *, seed: int, threads: int, memory_mb: int) -> Measured:
    """The same four steps by the reference program."""
    gigabytes = f"{memory_mb / 1000:.3f}"
    vocabulary, counts, shuffled = folder / "vocab.txt", folder / "counts.bin", folder / "shuffled.bin"
    begun = _children_seconds()
    run([build / "vocab_count", "-min-count", 5, "-verbose", 0], tokens.path, vocabulary)
    cooccur = [build / "cooccur", "-vocab-file", vocabulary, "-window-size", 10, "-memory", gigabytes, "-verbose", 0]
    run([*cooccur, "-overflow-file", folder / "overflow"], tokens.path, counts)
    shuffle = [build / "shuffle", "-memory", gigabytes, "-seed", seed, "-verbose", 0]
    run([*shuffle, "-temp-file", folder / "shuffle"], counts, shuffled)
    counted = _children_seconds()
    descent = [build / "glove", "-save-file", folder / "vectors", "-input-file", shuffled, "-vocab-file", vocabulary]
    descent += ["-threads", threads, "-x-max", X_MAX, "-iter", 15, "-vector-size", 100, "-binary", 0, "-seed", seed]
    said = run([*descent, "-verbose", 2], None, folder / "glove.out")
    ended = _children_seconds()
    costs = re.findall(r"cost: ([0-9.]+)", said)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000
    vectors = formats.load(folder / "vectors.txt")
    vectors = vectors.only([w for w in vectors.words if w != "<unk>"])
    entries = shuffled.stat().st_size // RECORD
    return Measured(counted - begun, ended - counted, entries, float(costs[-1]), peak, vectors)


def run(command: list[Any], source: Path | None, out: Path) -> str:
    """Runs one step; returns what it says on stderr."""
    with out.open("wb") as written, (source or Path("/dev/null")).open("rb") as read:
        done = subprocess.run([str(c) for c in command], stdin=read, stdout=written, stderr=subprocess.PIPE, check=True)
    return done.stderr.decode(errors="replace")


def glove(given: argparse.Namespace, tokens: Tokens, folder: Path) -> None:
    """The table of both sides, their ratios, costs, scores and neighbours."""
    shared = {"threads": given.threads, "memory_mb": given.memory}
    rows: dict[str, list[Measured]] = {"ours": []}
    builds = {name: path for name, path in (("program", given.program), ("program, fast", given.fast)) if path}
    for name in builds:
        rows[name] = []
    # Interleaved: a change in the machine's load meets all of them.
    for seed in range(given.seeds):
        rows["ours"].append(ours(tokens, folder, seed=seed, **shared))
        for name, build in builds.items():
            if name != "program" or seed < given.program_seeds:
                rows[name].append(program(tokens, folder, build, seed=_seed(seed, name), **shared))
        told = ", ".join(f"{who} {runs[-1].cpu_seconds:.1f} CPU s" for who, runs in rows.items())
        say(f"seed {seed + 1} of {given.seeds}: {told}")
    print(f"{'':14}{'runs':>5}{'CPU s':>9}{'counting':>9}{'descent':>9}{'entries':>13}{'cost':>10}{'peak MB':>9}")
    for who, runs in rows.items():
        seconds = [mean(getattr(r, name) for r in runs) for name in ("cpu_seconds", "counting", "descent")]
        entries = "/".join(f"{n:,}" for n in sorted({r.entries for r in runs}))
        cost, peak = mean(r.cost for r in runs), max(r.peak_mb for r in runs)
        told = "".join(f"{s:9.1f}" for s in seconds)
        print(f"{who:14}{len(runs):5}{told}{entries:>13}{cost:10.6f}{peak:9.0f}")
    for who in builds:
        seconds, costs = (
            [mean(getattr(r, name) for r in rows[w]) for w in ("ours", who)] for name in ("cpu_seconds", "cost")
        )
        print(f"ours takes {seconds[0] / seconds[1]:.3f} of the CPU time of {who}; cost {costs[0] / costs[1] - 1:+.2%}")
    if not builds:
        say("no --program was given: the reference program is left out")
        return
    theirs = [r.vectors for who in builds for r in rows[who]]
    _print_neighbours([r.vectors for r in rows["ours"]], theirs)
    if given.sets:
        _print_scores(given.sets, [r.vectors for r in rows["ours"]], theirs)


def _seed(number: int, build: str) -> int:
    """A seed of its own for each run of the program: with one thread the two builds differ by rounding alone."""
    return 1 + number + (100 if build == "program, fast" else 0)


def _print_neighbours(mine: list[Vectors], theirs: list[Vectors]) -> None:
    """Shares of ten neighbours, over the 10,000 most frequent words, or all where there are fewer."""
    words = 10_000
    kinds: dict[str, Iterator[tuple[Vectors, Vectors]]] = {
        "ours and the program's": ((a, b) for a in mine for b in theirs),
        "two seeds of the program": combinations(theirs, 2),
        "two seeds of ours": combinations(mine, 2),
    }
    for kind, pairs in kinds.items():
        shares = [neighbours.overlap(a, b, words=words).share for a, b in pairs]
        if shares:
            told = f"from {min(shares):.3f} to {max(shares):.3f}, {len(shares)} pairs"
            print(f"of ten neighbours shared, {kind}: {mean(shares):.3f} ({told})")


def _print_scores(sets: Path, mine: list[Vectors], theirs: list[Vectors]) -> None:
    """Spearman x 100 and right analogies in a hundred: means, and the spread of the program's seeds."""
    scores: dict[str, Callable[[Vectors], float]] = {}
    for name in PAIRS:
        pairs = wordsets.read_pairs(next(sets.rglob(f"{name}.txt")))
        scores[name] = lambda v, pairs=pairs: 100 * (judging.similarity(v, pairs, resamples=1).spearman or 0.0)  # type: ignore[misc]
    questions = wordsets.read_analogies(next(sets.rglob("questions-words.txt")))
    scores["Google analogies"] = lambda v: 100 * (judging.analogies(v, questions).total.accuracy or 0.0)
    for name, score in scores.items():
        a, b = [score(v) for v in mine], [score(v) for v in theirs]
        spread = max(b) - min(b)
        print(f"{name:18} ours {mean(a):5.2f}, the program's {mean(b):5.2f}; its seeds lie up to {spread:.2f} apart")


def linear(given: argparse.Namespace, text: Sequence[Path], folder: Path) -> None:
    """GloVe on parts of the corpus, each in a process of its own, with a capped vocabulary."""
    print(f"{'tokens':>12}{'CPU s':>9}{'s/M tokens':>12}{'entries':>13}{'runs':>6}{'own MB':>8}")
    whole = given.words or tokenise(PlainText(text), Tokeniser(), folder).words
    for share in SHARES:
        tokens = tokenise(PlainText(text), Tokeniser(), folder, limit=int(whole * share))
        # A fresh process: what an allocator keeps from the part before would count.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            arguments = (tokens, folder, given.memory, given.max_words, given.epochs, given.threads)
            seconds, peak, facts = pool.apply(_one_length, arguments)
        told = f"{tokens.words:12,}{seconds:9.1f}{seconds / tokens.words * 1e6:12.2f}"
        print(f"{told}{facts['entries']:13,}{facts['runs']:6}{peak:8.0f}", flush=True)


def _one_length(
    tokens: Tokens, folder: Path, memory_mb: int, max_words: int, epochs: int, threads: int
) -> tuple[float, float, dict[str, Any]]:
    """CPU seconds, megabytes beyond those of the started program, and what GloVe tells."""
    warm_up(folder)
    method = GloVe(max_words=max_words, epochs=epochs, threads=threads, memory_bytes=memory_mb * 1_000_000)
    with peak_of_own_memory() as peak:
        begun = time.process_time()
        facts = method.train(tokens, folder).facts
        spent = time.process_time() - begun
    return spent, peak[0], facts


def word2vec(given: argparse.Namespace, tokens: Tokens, folder: Path) -> None:
    """Skip-gram through ours and through gensim called directly on the same file; pairs of runs, interleaved."""
    from gensim.models import Word2Vec as Peer

    from advgen.embeddings import word2vec_epochs

    method = Word2Vec(epochs=given.epochs)
    words = count_words(tokens.path)
    counts = dict(zip(words.words, words.counts.tolist(), strict=True))

    def mine() -> None:
        word2vec_epochs.train(method, tokens, folder)

    def direct() -> None:
        model = Peer(vector_size=100, window=5, sg=1, min_count=5, workers=1, seed=0)
        model.build_vocab(corpus_file=str(tokens.path))
        assert len(model.wv) == len(counts)
        model.train(
            corpus_file=str(tokens.path), total_words=model.corpus_total_words, total_examples=model.corpus_count,
            epochs=given.epochs,
        )  # fmt: skip

    word2vec_epochs.train(
        Word2Vec(epochs=1), tokenise(PlainText(given.text), Tokeniser(), folder, limit=20_000), folder
    )
    ratios = []
    for pair in range(given.pairs):
        spent = {}
        for task in (mine, direct) if pair % 2 else (direct, mine):
            begun = time.process_time()
            task()
            spent[task] = time.process_time() - begun
        ratios.append(spent[direct] / spent[mine])
        print(f"gensim {spent[direct]:.1f} CPU s, ours with loss and states {spent[mine]:.1f}: {ratios[-1]:.3f}")
    print(f"ours has {median(ratios):.3f} of gensim's speed (median of {len(ratios)} pairs, min {min(ratios):.3f})")


@contextmanager
def peak_of_own_memory() -> Iterator[list[float]]:
    """Megabytes of RssAnon beyond those at the beginning; the list holds them at the end (0 without /proc)."""
    found = [0.0]
    ended = threading.Event()
    status = Path("/proc/self/status")

    def own() -> float:
        if not status.exists():
            return 0.0
        return next(
            int(line.split()[1]) / 1000 for line in status.read_text().splitlines() if line.startswith("RssAnon")
        )

    first = own()

    def watch() -> None:
        while not ended.wait(0.02):
            found[0] = max(found[0], own() - first)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


def warm_up(folder: Path) -> None:
    """Compiles what numba compiles, both branches of the counting."""
    text = folder / "warm.txt"
    text.write_text("\n".join(" ".join(f"w{(n * k) % 97}" for n in range(40)) for k in range(200)) + "\n")
    tokens = tokenise(PlainText([text]), Tokeniser(), folder)
    GloVe(epochs=2, program_bias=True, memory_bytes=1 << 24).train(tokens, folder)


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("glove", "linear", "word2vec"))
    parser.add_argument("text", nargs="+", type=Path)
    parser.add_argument("--words", type=int, help="of the text at most")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", type=int, default=1000, help="megabytes for counting")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--program", type=Path, help="build as shipped (-O3)")
    parser.add_argument("--program-seeds", type=int, default=3, help="runs of the build as shipped")
    parser.add_argument("--fast", type=Path, help="build with -Ofast -march=native")
    parser.add_argument("--sets", type=Path, help="folder of word sets to score by")
    parser.add_argument("--max-words", type=int, default=10_000, help="linear: size of the vocabulary")
    parser.add_argument("--epochs", type=int, default=5, help="linear and word2vec")
    parser.add_argument("--pairs", type=int, default=3, help="word2vec: pairs of runs")
    given = parser.parse_args()
    for build in (given.program, given.fast):
        if build and not (build / "glove").is_file():
            parser.exit(2, f"there is no program glove in {build}; give the folder that make has built it in.\n")
    with TemporaryDirectory() as name:
        folder = Path(name)
        if given.what == "linear":
            linear(given, given.text, folder)
            return
        tokens = tokenise(PlainText(given.text), Tokeniser(), folder, limit=given.words)
        print(f"{tokens.words:,} tokens, sha256 {tokens.hash[:16]}")
        if given.what == "glove":
            warm_up(folder)
            glove(given, tokens, folder)
        else:
            word2vec(given, tokens, folder)


if __name__ == "__main__":
    main()
