"""Word vectors: train Word2Vec or GloVe on a corpus, judge them, ask for neighbours and analogies."""

import click

from advgen.cli._embed.ask import analogy, nearest
from advgen.cli._embed.compare import compare
from advgen.cli._embed.evaluate import evaluate
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
    """Word vectors: train Word2Vec or GloVe on a corpus, judge them, ask for neighbours and analogies."""


for subcommand in (train, evaluate, nearest, analogy, compare):
    command.add_command(subcommand)
