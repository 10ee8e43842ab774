"""Convert StyleGAN2 weights to another format, without running what is in the file."""

from pathlib import Path

import click

from advgen.cli._options import examples, json_option, print_json, print_pairs


@click.command(
    "convert",
    epilog=examples("advgen convert ffhq.pkl ffhq.safetensors", "advgen convert afhqdog.pkl afhqdog-rosinality.pt"),
)
@click.argument("source", metavar="A", type=click.Path(path_type=Path))
@click.argument("target", metavar="B", type=click.Path(path_type=Path))
@click.option(
    "--layout",
    type=click.Choice(["platform", "official"]),
    default="platform",
    show_default=True,
    help="Of .safetensors: all networks in one file, or a file a network with the names of the official program.",
)
@json_option
def command(source: Path, target: Path, *, layout: str, as_json: bool) -> None:
    """Convert StyleGAN2 weights to another format, without running what is in the file.

    A is an official .pkl, rosinality's .pt, an encoder's .pt with a decoder inside, or .safetensors; B ends in
    .safetensors (with a card beside it), in .pt for rosinality's format, or in .pt2 for a program of torch.export that
    runs without this package. Images before and after are compared. --layout official: B holds the averaged generator,
    B-G the raw one and B-D the discriminator, under the names that the official program's load_state_dict expects.
    """
    from advgen.core.device import set_threads
    from advgen.generators.stylegan2.convert import convert

    set_threads()
    done = convert(source, target, layout=layout)
    for note in done.notes:
        click.echo(f"note: {note}.", err=True)
    page = {"read": f"{source} ({done.source})", "written": target, "largest difference": done.largest_difference}
    if as_json:
        print_json({**page, "notes": done.notes})
    else:
        print_pairs({**page, "largest difference": f"{done.largest_difference:.2g} of 1, over images of seeds 0 to 3"})
