"""Word vectors: train Word2Vec or GloVe on a corpus, judge, compare and draw them, ask for neighbours."""

import click

from advgen.cli._embed.ask import analogy, nearest
from advgen.cli._embed.compare import compare
from advgen.cli._embed.convert import convert
from advgen.cli._embed.evaluate import evaluate
from advgen.cli._embed.plot import plot
from advgen.cli._embed.train import train
from advgen.cli._options import examples


@click.group(
    "embed",
    epilog=examples(
        "advgen embed train excerpt --method glove --out excerpt.safetensors",
        "advgen embed nearest excerpt.safetensors war",
    ),
)
def command() -> None:
    """Word vectors: train Word2Vec or GloVe on a corpus, judge, compare and draw them, ask for neighbours."""


for subcommand in (train, evaluate, plot, nearest, analogy, compare, convert):
    command.add_command(subcommand)
