"""Word vectors: train Word2Vec or GloVe on a corpus, judge them, ask for neighbours and analogies."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from advgen.cli._options import examples, json_option, print_json, print_pairs, print_table, seed_option

if TYPE_CHECKING:
    from advgen.embeddings.corpora.source import Corpus
    from advgen.embeddings.corpora.tokens import Tokens
    from advgen.embeddings.judging import Analogies, Section, Similarity
    from advgen.embeddings.vectors import Vectors

KINDS = ("text", "wikipedia", "pubmed", "excerpt")
METHODS = ("glove", "skip-gram", "cbow")
RARE = 20  # occurrences; no claim should rest on a word with fewer

file_type = click.Path(path_type=Path)
most_frequent_option = click.option(
    "--most-frequent", type=click.IntRange(1), help="Use only the first so many words of the vectors."
)
method_option = click.option(
    "--method", type=click.Choice(["3CosAdd", "3CosMul"]), default="3CosAdd", show_default=True, help="Of analogies."
)
number_option = click.option("-n", "--number", type=click.IntRange(1), default=10, show_default=True, help="How many.")


@click.group(
    "embed",
    epilog=examples(
        "advgen embed train excerpt --method glove --out excerpt.safetensors",
        "advgen embed nearest excerpt.safetensors war",
    ),
)
def command() -> None:
    """Word vectors: train Word2Vec or GloVe on a corpus, judge them, ask for neighbours and analogies."""


@command.command(
    "train",
    epilog=examples(
        "advgen embed train wikipedia enwiki-latest-pages-articles.xml.bz2 --out wiki.safetensors --memory 4000",
        "advgen embed train pubmed baseline/ --method skip-gram --dim 200 --out pubmed.safetensors",
    ),
)
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("files", nargs=-1, type=file_type)
@click.option("--method", type=click.Choice(METHODS), default="glove", show_default=True, help="How to train.")
@click.option("--out", type=file_type, required=True, help=".safetensors (with a card), .vec, .bin or .txt (GloVe).")
@click.option("--work", type=file_type, help="Folder for tokens and the state of a training [default: beside --out].")
@click.option("--dim", type=int, default=100, show_default=True, help="Numbers a vector.")
@click.option("--window", type=int, help="Words to each side [default: 10 for glove, else 5].")
@click.option("--epochs", type=int, help="Passes over the data [default: 15 for glove, else 5].")
@click.option("--rate", type=float, help="Learning rate [default: 0.05 for glove, else 0.025].")
@click.option("--min-count", type=int, default=5, show_default=True, help="Leave out words that occur less often.")
@click.option("--max-words", type=click.IntRange(1), help="Size of the vocabulary at most.")
@click.option("--x-max", type=float, help="glove: counts above it weigh the same [default: by the corpus' size].")
@click.option("--left-only", is_flag=True, help="glove: count the words to the left only.")
@click.option("--program-bias", is_flag=True, help="glove: move biases as the reference program does.")
@click.option("--negative", type=int, help="word2vec: noise words a pair [default: 5].")
@click.option("--hierarchical", is_flag=True, help="word2vec: hierarchical softmax.")
@click.option("--subsample", type=float, help="word2vec: thin out words more frequent than this [default: 0.001].")
@click.option("--limit", type=click.IntRange(1), help="Words of the corpus to use at most.")
@click.option("--keep-case", is_flag=True, help="Do not put words into lower case.")
@click.option("--labels", is_flag=True, help="pubmed: keep the labels of an abstract's sections.")
@click.option("--threads", type=int, default=1, show_default=True, help="glove: changes no bit of the result.")
@click.option("--memory", type=int, default=1000, show_default=True, help="glove: megabytes for counting.")
@seed_option
def train(kind: str, files: tuple[Path, ...], method: str, out: Path, work: Path | None, **given: Any) -> None:
    """Train word vectors on a corpus.

    KIND says what FILES are: text (one paragraph a line; plain, gz, bz2 or xz), wikipedia (a pages-articles dump),
    pubmed (XML files of the baseline and updates). excerpt is the small Wikipedia dump that is installed with the
    program and takes no files. A GloVe training that was killed goes on with the same command.
    """
    from advgen.core.errors import BadArgument
    from advgen.embeddings.corpora.tokeniser import Tokeniser
    from advgen.embeddings.corpora.tokens import tokenise

    if out.suffix not in (".safetensors", ".vec", ".bin", ".txt"):
        raise BadArgument(f"--out must end in .safetensors, .vec, .bin or .txt, got {out.name!r}.")
    built = _method(method, given)
    corpus = _corpus(kind, files, labels=given["labels"])
    tokeniser = Tokeniser(lowercase=not given["keep_case"])
    folder = work or out.parent / "embed-work"
    click.echo(f"words: {tokeniser.rule}", err=True)
    tokens = tokenise(corpus, tokeniser, folder, limit=given["limit"], tell=lambda n: _tell(f"{n:,} words read"))
    _tell_account(tokens)
    begun = _clocks()
    if method == "glove":
        trained = built.train(tokens, folder, tell=_tell)
        vectors, facts = trained.vectors, trained.facts
    else:
        vectors, facts = built.train(tokens, tell=_tell), {}
    spent = {name: round(now - then, 2) for (name, now), then in zip(_clocks().items(), begun.values(), strict=True)}
    metrics = {"words": len(vectors), "dim": vectors.dim, "tokens": tokens.words, **facts}
    _write(out, vectors, method, built, tokens, metrics, spent)
    click.echo(str(out))
    print_json({**metrics, **spent})


@command.command(
    "evaluate",
    epilog=examples(
        "advgen embed evaluate wiki.safetensors --pairs EN-WS-353-ALL.txt --analogies questions-words.txt",
        "advgen embed evaluate wiki.safetensors pubmed.safetensors --vocabulary words.txt --json",
    ),
)
@click.argument("files", nargs=-1, required=True, type=file_type)
@click.option("--pairs", multiple=True, type=file_type, help="Word pairs with people's scores; may be repeated.")
@click.option("--analogies", multiple=True, type=file_type, help="Questions of four words; may be repeated.")
@click.option("--vocabulary", type=file_type, help="Words, one a line: how often each occurs in the corpus.")
@method_option
@most_frequent_option
@json_option
def evaluate(
    files: tuple[Path, ...], pairs: tuple[Path, ...], analogies: tuple[Path, ...], vocabulary: Path | None,
    method: str, most_frequent: int | None, *, as_json: bool,
) -> None:  # fmt: skip
    """Judge FILES of vectors: Spearman's rho with its 95% interval, analogies by section, coverage.

    Pairs and questions with a word that has no vector are left out, counted and named, never scored.
    """
    from advgen.core.errors import BadArgument
    from advgen.embeddings import formats, judging

    if not (pairs or analogies or vocabulary):
        raise BadArgument("nothing to judge by was given; name --pairs, --analogies or --vocabulary.")
    pair_sets = {path.name: judging.read_pairs(path) for path in pairs}
    question_sets = {path.name: judging.read_analogies(path) for path in analogies}
    asked = judging.read_words(vocabulary) if vocabulary else []
    results: dict[str, Any] = {}
    for file in files:
        vectors = formats.load(file, most_frequent=most_frequent)
        similar = {name: judging.similarity(vectors, listed) for name, listed in pair_sets.items()}
        answered = {
            name: judging.analogies(vectors, sections, method=method)  # type: ignore[arg-type]
            for name, sections in question_sets.items()
        }
        counted = {word: _occurrences(vectors, word) for word in asked}
        results[str(file)] = {
            "words": len(vectors),
            "tokens": _tokens_of(file),
            "similarity": {name: s._asdict() for name, s in similar.items()},
            "analogies": {name: _analogies_dict(a) for name, a in answered.items()},
            "occurrences": counted,
        }
        if not as_json:
            _print_judgement(file, vectors, similar, answered, counted)
    if as_json:
        print_json(results)


@command.command(
    "nearest",
    epilog=examples(
        "advgen embed nearest wiki.safetensors king queen", "advgen embed nearest glove.6B.100d.txt insulin -n 5 --json"
    ),
)
@click.argument("file", type=file_type)
@click.argument("words", nargs=-1, required=True)
@number_option
@most_frequent_option
@json_option
def nearest(file: Path, words: tuple[str, ...], number: int, most_frequent: int | None, *, as_json: bool) -> None:
    """The words of the highest cosine with each of WORDS."""
    from advgen.embeddings import formats

    vectors = formats.load(file, most_frequent=most_frequent)
    found = {word: vectors.nearest(word, number) for word in words}
    if as_json:
        print_json({word: [n._asdict() for n in neighbours] for word, neighbours in found.items()})
        return
    print_table(
        ["WORD", "COSINE", "NEIGHBOUR"], [[w, f"{n.score:.3f}", n.word] for w, list_ in found.items() for n in list_]
    )


@command.command(
    "analogy",
    epilog=examples(
        "advgen embed analogy wiki.safetensors man king woman",
        "advgen embed analogy wiki.safetensors france paris italy --method 3CosMul -n 3",
    ),
)
@click.argument("file", type=file_type)
@click.argument("a")
@click.argument("b")
@click.argument("c")
@method_option
@number_option
@most_frequent_option
@json_option
def analogy(
    file: Path, a: str, b: str, c: str, method: str, number: int, most_frequent: int | None, *, as_json: bool
) -> None:
    """What is to C as B is to A; the three words themselves are never the answer."""
    from advgen.embeddings import formats

    vectors = formats.load(file, most_frequent=most_frequent)
    found = vectors.analogy(a, b, c, n=number, method=method)  # type: ignore[arg-type]
    if as_json:
        print_json([n._asdict() for n in found])
        return
    click.echo(f"{a} : {b} = {c} : ?", err=True)
    print_table(["SCORE", "WORD"], [[f"{n.score:.3f}", n.word] for n in found])


@command.command(
    "compare",
    epilog=examples(
        "advgen embed compare wiki.safetensors pubmed.safetensors --pairs EN-MEN-TR-3k.txt",
        "advgen embed compare seed0.safetensors seed1.safetensors --frequent 10000",
    ),
)
@click.argument("one", type=file_type)
@click.argument("other", type=file_type)
@click.option("--pairs", multiple=True, type=file_type, help="Word pairs; both are judged on those that both know.")
@click.option("--frequent", type=click.IntRange(1), default=1000, show_default=True, help="Words asked for neighbours.")
@number_option
@json_option
def compare(one: Path, other: Path, pairs: tuple[Path, ...], frequent: int, number: int, *, as_json: bool) -> None:
    """Compare two files of vectors on the words that both know: shared neighbours, and scores on the same pairs."""
    from advgen.embeddings import formats, judging

    first, second = formats.load(one), formats.load(other)
    shared = [w for w in first.words if w in second]
    common, asked = judging.overlap(first, second, words=frequent, n=number)
    restricted = [v.only(shared) for v in (first, second)]
    scores = {
        path.name: [judging.similarity(v, listed) for v in restricted]
        for path in pairs
        for listed in [judging.read_pairs(path)]
    }
    if as_json:
        print_json(
            {
                "shared_words": len(shared),
                "neighbours": {"shared": common, "n": number, "words": asked},
                "similarity": {name: [s._asdict() for s in both] for name, both in scores.items()},
            }
        )
        return
    print_pairs(
        {
            "words": f"{len(first):,} and {len(second):,}, {len(shared):,} in both",
            f"shared of {number} neighbours": f"{common:.3f} over the {asked:,} most frequent shared words",
        }
    )
    if scores:
        print_table(
            ["PAIRS", "N", one.name, other.name],
            [[name, f"{a.n}/{a.pairs}", _rho(a), _rho(b)] for name, (a, b) in scores.items()],
        )


def _method(method: str, given: dict[str, Any]) -> Any:
    """The method with what was given; an option of the other one is refused."""
    from advgen.core.errors import BadArgument
    from advgen.embeddings.glove.model import GloVe
    from advgen.embeddings.word2vec import Word2Vec

    names = ("dim", "window", "epochs", "rate", "min_count", "max_words", "seed")
    own = {name: given[name] for name in names if given[name] is not None}
    of_glove = {"x_max": given["x_max"], "left_only": given["left_only"], "program_bias": given["program_bias"]}
    of_word2vec = {name: given[name] for name in ("negative", "hierarchical", "subsample")}
    for name, value in (of_word2vec if method == "glove" else of_glove).items():
        if value is not None and value is not False:
            raise BadArgument(f"--{name.replace('_', '-')} is no option of {method}; leave it out or change --method.")
    if method == "glove":
        chosen = {"x_max": given["x_max"], "symmetric": not given["left_only"], "program_bias": given["program_bias"]}
        return GloVe(**own, **chosen, threads=given["threads"], memory_bytes=given["memory"] * 1_000_000)
    chosen = {name: value for name, value in of_word2vec.items() if value is not None}
    return Word2Vec(architecture=method, **own, **chosen)  # type: ignore[arg-type]


def _corpus(kind: str, files: tuple[Path, ...], *, labels: bool) -> "Corpus":
    from advgen.core.errors import BadArgument
    from advgen.embeddings.corpora.pubmed import PubMed
    from advgen.embeddings.corpora.text import PlainText
    from advgen.embeddings.corpora.wikipedia import Wikipedia, excerpt

    if labels and kind != "pubmed":
        raise BadArgument(f"--labels belongs to pubmed; {kind} has no labelled sections.")
    if kind == "excerpt":
        if files:
            raise BadArgument(f"excerpt takes no files, got {files[0].name}; say text, wikipedia or pubmed for yours.")
        return Wikipedia([excerpt()])
    if kind == "pubmed":
        return PubMed(files, labels=labels)
    return Wikipedia(files) if kind == "wikipedia" else PlainText(files)


def _write(
    out: Path,
    vectors: "Vectors",
    method: str,
    built: Any,
    tokens: "Tokens",
    metrics: dict[str, Any],
    spent: dict[str, Any],
) -> None:
    from dataclasses import asdict

    from advgen.core.specs import Card
    from advgen.embeddings import formats

    if out.suffix != ".safetensors":
        kinds: dict[str, formats.Format] = {".vec": "word2vec-text", ".bin": "word2vec-binary", ".txt": "glove"}
        formats.export(out, vectors, kinds[out.suffix])
        return
    told = {"corpus": tokens.corpus, "tokeniser": tokens.rule, "account": tokens.account, **metrics}
    args = {name: value for name, value in asdict(built).items() if name != "seed"}
    formats.save(
        out, vectors,
        Card(
            name=out.stem, kind="vectors", recipe=method, args=args, seed=built.seed, data_hash=tokens.hash,
            file_hash="", metrics=told, cost=spent, licence="as the corpus", made_with=_versions(),
        ),
    )  # fmt: skip


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("numpy", "numba", "gensim", "lxml", "mwparserfromhell")}


def _clocks() -> dict[str, float]:
    import time

    return {"seconds": time.monotonic(), "cpu_seconds": time.process_time()}


def _tell(line: str) -> None:
    click.echo(line, err=True)


def _tell_account(tokens: "Tokens") -> None:
    """What was read, removed and lost, on stderr."""
    read = ", ".join(f"{n:,} {what}" for what, n in tokens.account["read"].items())
    _tell(f"corpus: {tokens.words:,} words in {tokens.sentences:,} sentences ({read})")
    for rule, what in tokens.account["removed"].items():
        _tell(f"removed: {what['times']:,} x {rule} ({what['characters']:,} characters)")
    for loss in tokens.account["lost"]:
        _tell(f"LOST: {loss['file']}: {loss['what']}")


def _tokens_of(file: Path) -> int | None:
    """How many tokens the vectors come from, where their card says so."""
    from advgen.core.checkpoints import read_card

    return read_card(file).metrics.get("tokens") if file.suffix == ".safetensors" else None


def _occurrences(vectors: "Vectors", word: str) -> int | None:
    """None where the file keeps no counts; 0 stands for fewer than the vocabulary's limit."""
    if vectors.counts is None:
        return None
    return int(vectors.counts[vectors.row[word]]) if word in vectors else 0


def _analogies_dict(result: "Analogies") -> dict[str, Any]:
    def told(section: "Section") -> dict[str, Any]:
        return {**section._asdict(), "accuracy": section.accuracy}

    sections = [told(s) for s in result.sections]
    return {"sections": sections, "total": told(result.total), "unknown": list(result.unknown)}


def _print_judgement(
    file: Path, vectors: "Vectors", similar: "dict[str, Similarity]", answered: "dict[str, Analogies]",
    counted: dict[str, int | None],
) -> None:  # fmt: skip
    tokens = _tokens_of(file)
    click.echo(f"{file}: {len(vectors):,} words, {f'from {tokens:,} tokens' if tokens else 'corpus size not known'}")
    if similar:
        rows = [[name, _rho(s), f"{s.n}/{s.pairs}", _named(s.unknown)] for name, s in similar.items()]
        print_table(["PAIRS", "SPEARMAN [95%]", "N", "UNKNOWN"], rows)
    for name, result in answered.items():
        rows = [
            [s.name, "-" if s.accuracy is None else f"{s.accuracy:.1%}", f"{s.n}/{s.questions}"]
            for s in (*result.sections, result.total)
        ]
        print_table([f"ANALOGIES {name}", "RIGHT", "N"], rows)
        if result.unknown:
            click.echo(f"unknown: {_named(result.unknown)}")
    if counted:
        print_table(["WORD", "OCCURRENCES"], [[w, "not kept" if n is None else f"{n:,}"] for w, n in counted.items()])
        rare = [w for w, n in counted.items() if n is not None and n < RARE]
        if rare:
            click.echo(f"under {RARE} occurrences, too few for a claim: {', '.join(rare)}")


def _rho(result: "Similarity") -> str:
    if result.spearman is None:
        return "-"
    return f"{result.spearman:.3f} [{result.low:.3f}, {result.high:.3f}]"


def _named(words: tuple[str, ...]) -> str:
    shown = ", ".join(words[:12])
    return f"{len(words)}: {shown}{', …' if len(words) > 12 else ''}" if words else "none"
