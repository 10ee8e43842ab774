"""Sample images from a StyleGAN2, by seed, with a contact sheet."""

from pathlib import Path

import click

from advgen.cli._options import examples, out_option


@click.command(
    "generate",
    epilog=examples(
        "advgen generate --weights ffhq.pkl --seeds 0-15 --psi 0.7",
        "advgen generate --weights cifar10.pkl --seeds 3,8,20-27 --class 5 --out horses",
    ),
)
@click.option("--weights", required=True, type=click.Path(path_type=Path), help="File of a StyleGAN2, of any kind.")
@click.option("--seeds", default="0-15", show_default=True, help="Seeds, e.g. 0-15 or 3,8,20-27.")
@click.option("--psi", type=float, default=1.0, show_default=True, help="Truncation: 1 = none, 0 = the mean image.")
@click.option("--cutoff", type=click.IntRange(0), help="Truncate only the first so many layers.")
@click.option("--class", "label", type=int, help="Class, for a generator that has classes.")
@click.option("--noise", type=click.Choice(["const", "random", "none"]), default="const", show_default=True)
@out_option("Folder for the images and grid.png.", default="generated")
def command(
    weights: Path, seeds: str, psi: float, cutoff: int | None, label: int | None, noise: str, out: Path
) -> None:
    """Sample images from a StyleGAN2, by seed, with a contact sheet.

    A seed gives the image that the official program makes of it.
    """
    from math import isfinite

    from advgen.core.device import set_threads
    from advgen.core.errors import BadArgument
    from advgen.generators.stylegan2.load import load_stylegan2
    from advgen.generators.stylegan2.sample import save_images, seeds_of

    if not isfinite(psi):
        raise BadArgument(f"--psi must be a finite number, got {psi}; 0.7 is usual.")
    chosen = seeds_of(seeds)
    set_threads()
    loaded = load_stylegan2(weights)
    for note in loaded.info.notes:
        click.echo(f"note: {note}.", err=True)
    paths = save_images(loaded.generator, chosen, out, psi=psi, cutoff=cutoff, label=label, noise=noise)
    click.echo(f"images: {len(paths) - 1} in {out}")
    click.echo(f"sheet: {paths[-1]}")
