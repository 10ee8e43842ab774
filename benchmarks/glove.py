"""GloVe end to end on one text: CPU seconds, entries, cost and peak memory of ours and of the reference C program.

    python benchmarks/glove.py TEXT... [--words 2000000] [--threads 2] [--seeds 3] [--program GLOVE/build]

TEXT is plain text, a paragraph a line, compressed or not; both read the same tokens. --program is the folder of a
user's build of the reference program (vocab_count, cooccur, shuffle, glove); without it ours is measured alone. The
program's cost is half of our loss. CPU seconds count every thread; compiling is done before on a few words.
"""

import argparse
import re
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import NamedTuple

from advgen.embeddings.corpora.text import PlainText
from advgen.embeddings.corpora.tokeniser import Tokeniser
from advgen.embeddings.corpora.tokens import Tokens, tokenise
from advgen.embeddings.glove.model import GloVe

X_MAX = 10
RECORD = 16  # bytes of one of the program's entries


class Measured(NamedTuple):
    cpu_seconds: float
    entries: int
    cost: float
    peak_mb: float


def ours(tokens: Tokens, folder: Path, *, seed: int, threads: int, memory_mb: int) -> Measured:
    """Vocabulary, counts, arrangement and descent, with the program's rule for biases."""
    method = GloVe(x_max=X_MAX, program_bias=True, seed=seed, threads=threads, memory_bytes=memory_mb * 1_000_000)
    begun = time.process_time()
    trained = method.train(tokens, folder)
    spent = time.process_time() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return Measured(spent, trained.facts["entries"], trained.losses[-1] / 2, peak)


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
    descent = [build / "glove", "-save-file", folder / "vectors", "-input-file", shuffled, "-vocab-file", vocabulary]
    descent += ["-threads", threads, "-x-max", X_MAX, "-iter", 15, "-vector-size", 100, "-binary", 0, "-seed", seed]
    said = run([*descent, "-verbose", 2], None, folder / "glove.out")
    costs = re.findall(r"cost: ([0-9.]+)", said)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000
    return Measured(_children_seconds() - begun, shuffled.stat().st_size // RECORD, float(costs[-1]), peak)


def run(command: list[object], source: Path | None, out: Path) -> str:
    """Runs one step; returns what it says on stderr."""
    with out.open("wb") as written, (source or Path("/dev/null")).open("rb") as read:
        done = subprocess.run([str(c) for c in command], stdin=read, stdout=written, stderr=subprocess.PIPE, check=True)
    return done.stderr.decode(errors="replace")


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", nargs="+", type=Path)
    parser.add_argument("--words", type=int)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory", type=int, default=1000, help="megabytes for counting")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--program", type=Path)
    given = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        small = tokenise(PlainText(given.text), Tokeniser(), folder, limit=20_000)
        GloVe(epochs=1).train(small, folder)
        tokens = tokenise(PlainText(given.text), Tokeniser(), folder, limit=given.words)
        print(f"{tokens.words:,} tokens, sha256 {tokens.hash[:16]}, {given.threads} threads")
        shared = {"threads": given.threads, "memory_mb": given.memory}
        rows = {"ours": [ours(tokens, folder, seed=s, **shared) for s in range(given.seeds)]}
        if given.program:
            rows["program"] = [program(tokens, folder, given.program, seed=s + 1, **shared) for s in range(given.seeds)]
        else:
            print("no --program was given: the reference program is left out", file=sys.stderr)
    print(f"{'':10}{'CPU s':>10}{'entries':>14}{'cost':>10}{'peak MB':>10}")
    for who, runs in rows.items():
        cost, seconds, peak = (
            mean(r.cost for r in runs),
            mean(r.cpu_seconds for r in runs),
            max(r.peak_mb for r in runs),
        )
        print(f"{who:10}{seconds:10.1f}{runs[0].entries:14,}{cost:10.5f}{peak:10.0f}")
    if given.program:
        first, second = (mean(r.cpu_seconds for r in rows[who]) for who in ("ours", "program"))
        print(f"ours takes {first / second:.3f} of the program's CPU time")


if __name__ == "__main__":
    main()
