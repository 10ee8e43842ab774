"""Run the demonstration: does a denoising autoencoder stop PGD, and does LPIPS see it?"""

import sys
from pathlib import Path

import click

from advgen.cli._options import device_option, examples, out_option


@click.command("demo", epilog=examples("advgen demo", "advgen demo --out runs/demo --workers 2"))
@out_option("Folder of the run.", default="runs/demo")
@device_option
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True, help="Worker processes.")
def command(out: Path, device: str, workers: int) -> None:
    """Run the demonstration: does a denoising autoencoder stop PGD, and does LPIPS see it?

    On shipped models and data, in minutes, without a network; ends with the report's path.
    """
    from advgen.cli._progress import following
    from advgen.cli._report import told
    from advgen.core.device import set_threads
    from advgen.experiments.run import run
    from advgen.experiments.study import load

    set_threads()
    study = load("demo")
    with following(sys.stderr, study.labels()) as tell:
        store = run(
            study,
            out,
            device=None if device == "auto" else device,
            workers=workers,
            tell=tell,
            say=lambda sentence: click.echo(sentence, err=True),
        )
    told(store)
