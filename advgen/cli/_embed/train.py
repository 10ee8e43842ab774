"""Train word vectors on a corpus."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from advgen.cli._embed.options import file_type
from advgen.cli._options import examples, print_json, seed_option

if TYPE_CHECKING:
    from advgen.embeddings.corpora.source import Corpus
    from advgen.embeddings.corpora.tokens import Tokens
    from advgen.embeddings.vectors import Vectors

KINDS = ("text", "wikipedia", "pubmed", "excerpt", "pubmed-excerpt")
METHODS = ("glove", "skip-gram", "cbow")


@click.command(
    "train",
    epilog=examples(
        "advgen embed train excerpt --out excerpt.safetensors --evaluate --plot map.html",
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
@click.option("--keep", type=file_type, help="Words, one a line, that --max-words does not leave out.")
@click.option("--x-max", type=float, help="glove: counts above it weigh the same [default: by the corpus' size].")
@click.option("--left-only", is_flag=True, help="glove: count the words to the left only.")
@click.option("--program-bias", is_flag=True, help="glove: move biases as the reference program does.")
@click.option("--negative", type=int, help="word2vec: noise words a pair [default: 5].")
@click.option("--hierarchical", is_flag=True, help="word2vec: hierarchical softmax.")
@click.option("--subsample", type=float, help="word2vec: thin out words more frequent than this [default: 0.001].")
@click.option("--limit", type=click.IntRange(1), help="Words of the corpus to use at most.")
@click.option("--keep-case", is_flag=True, help="Do not put words into lower case.")
@click.option("--labels", is_flag=True, help="pubmed: keep the labels of an abstract's sections.")
@click.option(
    "--threads",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Used for cleaning wikipedia, where they change nothing, and for training: they change no bit of glove; with "
    "more than one word2vec differs from run to run.",
)
@click.option("--memory", type=int, default=1000, show_default=True, help="glove: megabytes for counting.")
@click.option("--half", is_flag=True, help=".safetensors: 16 bits a number, half the size.")
@click.option("--evaluate", is_flag=True, help="Judge by WordSim-353, SimLex-999 and Google's analogies.")
@click.option(
    "--plot", multiple=True, type=file_type, help="Draw frequent words: .html, .png or .svg; may be repeated."
)
@seed_option
def train(kind: str, files: tuple[Path, ...], method: str, out: Path, work: Path | None, **given: Any) -> None:
    """Train word vectors on a corpus.

    KIND says what FILES are: text (one paragraph a line; plain, gz, bz2 or xz), wikipedia (a pages-articles dump),
    pubmed (XML files of the baseline and updates). excerpt is the small Wikipedia dump that is installed with the
    program, pubmed-excerpt the 1,000 abstracts of PubMedQA; they take no files. Whatever was killed goes on with the
    same command: reading a corpus where it stood, a training at its last finished epoch.
    """
    from advgen.cli._embed.plot import draw_frequent, refuse_names
    from advgen.core.errors import BadArgument
    from advgen.embeddings.corpora.tokeniser import Tokeniser
    from advgen.embeddings.corpora.tokens import tokenise

    if out.suffix not in (".safetensors", ".vec", ".bin", ".txt"):
        raise BadArgument(f"--out must end in .safetensors, .vec, .bin or .txt, got {out.name!r}.")
    if given["half"] and out.suffix != ".safetensors":
        raise BadArgument(f"--half belongs to .safetensors; {out.name} holds its numbers as they are.")
    refuse_names(given["plot"])
    built = _method(method, given)
    corpus = _corpus(kind, files, labels=given["labels"], threads=given["threads"])
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
        from advgen.embeddings import word2vec_epochs

        of_words = word2vec_epochs.train(built, tokens, folder, tell=_tell)
        vectors, facts = of_words.vectors, {"loss": of_words.losses[-1], "losses": list(of_words.losses)}
    spent = {name: round(now - then, 2) for (name, now), then in zip(_clocks().items(), begun.values(), strict=True)}
    metrics = {"words": len(vectors), "dim": vectors.dim, "tokens": tokens.words, **facts}
    if given["evaluate"]:
        metrics |= _scores(vectors)
    _write(out, vectors, method, built, tokens, metrics, spent, half=given["half"])
    click.echo(str(out))
    if given["plot"]:
        source = f"{out}: {len(vectors):,} words, from {tokens.words:,} tokens"
        draw_frequent(vectors, source, given["plot"], seed=given["seed"])
    print_json({**metrics, **spent})


def _scores(vectors: "Vectors") -> dict[str, Any]:
    from advgen.embeddings import judging, wordsets

    return {"scores": judging.scores(vectors, *wordsets.embedded())}


def _method(method: str, given: dict[str, Any]) -> Any:
    """The method with what was given; an option of the other one is refused."""
    from advgen.core.errors import BadArgument
    from advgen.embeddings.glove.model import GloVe
    from advgen.embeddings.word2vec import Word2Vec

    names = ("dim", "window", "epochs", "rate", "min_count", "max_words", "seed")
    own = {name: given[name] for name in names if given[name] is not None}
    if given["keep"]:
        if given["max_words"] is None:
            raise BadArgument("--keep names words that --max-words would leave out; give both, or neither.")
        own["keep"] = tuple(_kept(given["keep"], lowercase=not given["keep_case"]))
    of_glove = {"x_max": given["x_max"], "left_only": given["left_only"], "program_bias": given["program_bias"]}
    of_word2vec = {name: given[name] for name in ("negative", "hierarchical", "subsample")}
    for name, value in (of_word2vec if method == "glove" else of_glove).items():
        if value is not None and value is not False:
            raise BadArgument(f"--{name.replace('_', '-')} is no option of {method}; leave it out or change --method.")
    if method == "glove":
        chosen = {"x_max": given["x_max"], "symmetric": not given["left_only"], "program_bias": given["program_bias"]}
        return GloVe(**own, **chosen, threads=given["threads"], memory_bytes=given["memory"] * 1_000_000)
    chosen = {name: value for name, value in of_word2vec.items() if value is not None}
    return Word2Vec(architecture=method, **own, **chosen, workers=given["threads"])  # type: ignore[arg-type]


def _kept(file: Path, *, lowercase: bool) -> list[str]:
    from advgen.embeddings.wordsets import read_words

    return [word.lower() if lowercase else word for word in read_words(file)]


def _corpus(kind: str, files: tuple[Path, ...], *, labels: bool, threads: int) -> "Corpus":
    from advgen.core.errors import BadArgument
    from advgen.embeddings.corpora.excerpts import pubmed_excerpt, wikipedia_excerpt
    from advgen.embeddings.corpora.pubmed import PubMed
    from advgen.embeddings.corpora.text import PlainText
    from advgen.embeddings.corpora.wikipedia import Wikipedia

    if labels and kind != "pubmed":
        raise BadArgument(f"--labels belongs to pubmed; {kind} has no labelled sections.")
    if kind in ("excerpt", "pubmed-excerpt"):
        if files:
            raise BadArgument(f"{kind} takes no files, got {files[0].name}; say text, wikipedia or pubmed for yours.")
        return Wikipedia([wikipedia_excerpt()], workers=threads) if kind == "excerpt" else PlainText([pubmed_excerpt()])
    if kind == "pubmed":
        return PubMed(files, labels=labels)
    return Wikipedia(files, workers=threads) if kind == "wikipedia" else PlainText(files)


def _write(
    out: Path,
    vectors: "Vectors",
    method: str,
    built: Any,
    tokens: "Tokens",
    metrics: dict[str, Any],
    spent: dict[str, Any],
    *,
    half: bool,
) -> None:
    from dataclasses import asdict

    from advgen.core.specs import Card
    from advgen.embeddings import formats

    if out.suffix != ".safetensors":
        kinds: dict[str, formats.Format] = {".vec": "word2vec-text", ".bin": "word2vec-binary", ".txt": "glove"}
        formats.export(out, vectors, kinds[out.suffix])
        return
    told = {"corpus": tokens.corpus, "tokeniser": tokens.rule, "account": tokens.account, **metrics}
    args = {name: value for name, value in asdict(built).items() if name != "seed"} | {"keep": " ".join(built.keep)}
    formats.save(
        out, vectors,
        Card(
            name=out.stem, kind="vectors", recipe=method, args=args, seed=built.seed, data_hash=tokens.hash,
            file_hash="", metrics=told, cost=spent, licence="as the corpus", made_with=_versions(),
        ),
        half=half,
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
