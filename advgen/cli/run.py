"""Run a study, or go on with one that was stopped, and write its report."""

import sys
from pathlib import Path

import click

from advgen.cli._options import device_option, examples, out_option, strict_option


@click.command("run", epilog=examples("advgen run dae_defense", "advgen run my_study.yaml --workers 2 --device cpu"))
@click.argument("study")
@out_option("Folder of the run; default runs/NAME.")
@device_option
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Worker processes.")
@click.option("--cluster", help="Dask: tcp://HOST:PORT of a scheduler, or `local`.")
@click.option("--only", multiple=True, help="Only cells whose text contains this; may be repeated.")
@click.option("--batch-size", default="64", show_default=True, help="Images a batch; auto = measured once.")
@strict_option
def command(
    study: str,
    out: Path | None,
    device: str,
    workers: int,
    cluster: str | None,
    only: tuple[str, ...],
    batch_size: str,
    *,
    strict: bool,
) -> None:
    """Run a study, or go on with one that was stopped, and write its report.

    STUDY is a name from `advgen list studies`, a .py file with a function study(), or a .yaml file. What is done is
    kept: the same command goes on from there.
    """
    from advgen.cli._progress import following
    from advgen.cli._report import told
    from advgen.core.device import set_threads
    from advgen.core.errors import BadArgument
    from advgen.experiments.cluster import executor_of
    from advgen.experiments.run import run
    from advgen.experiments.study import load

    if batch_size != "auto" and not (batch_size.isdigit() and int(batch_size) > 0):
        raise BadArgument(f"--batch-size must be a whole number from 1 or auto, got {batch_size!r}.")
    loaded = load(study)
    folder = out or Path("runs") / loaded.name
    set_threads()
    with following(sys.stderr, loaded.labels()) as tell, executor_of(cluster) as executor:
        store = run(
            loaded,
            folder,
            device=None if device == "auto" else device,
            workers=workers,
            executor=executor,
            only=(lambda cell: all(word in str(cell) for word in only)) if only else None,
            batch_size=None if batch_size == "auto" else int(batch_size),
            tell=tell,
            say=lambda sentence: click.echo(sentence, err=True),
        )
    told(store, strict=strict)
