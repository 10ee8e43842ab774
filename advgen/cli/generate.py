"""Sample images from a StyleGAN2, by seed or from a text, or draw a contact sheet of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from advgen.cli._options import examples, out_option


@click.command(
    "generate",
    epilog=examples(
        "advgen generate --weights stylegan2_avatars_64 --seeds 0-15 --psi 0.7",
        "advgen generate --weights cifar10.pkl --seeds 3,8,20-27 --class 5 --out horses",
        "advgen generate --weights ffhq.pkl --sheet mixing --rows 0-4 --cols 10-15 --layers 0-3",
        "advgen generate --weights ffhq.pkl --sheet truncation --seeds 0-5 --psis 1,0.7,0.5,0",
        'advgen generate --weights stylegan2_avatars_64 --text "a smiling person with red hair" --seeds 0-7',
    ),
)
@click.option("--weights", required=True, help="File of a StyleGAN2, of any kind, or the name of shipped weights.")
@click.option("--seeds", help="Seeds, e.g. 0-15 or 3,8,20-27.  [default: 0-15; sheets but the grid: 0-5]")
@click.option("--psi", type=float, default=1.0, show_default=True, help="Truncation: 1 = none, 0 = the mean image.")
@click.option("--cutoff", type=click.IntRange(0), help="Truncate only the first so many layers.")
@click.option("--class", "label", type=int, help="Class, for a generator that has classes.")
@click.option("--noise", type=click.Choice(["const", "random", "none"]), default="const", show_default=True)
@click.option(
    "--sheet",
    type=click.Choice(["grid", "interpolation", "mixing", "truncation"]),
    help="Draw one labelled picture, SHEET.png, instead of an image a seed.",
)
@click.option("--rows", help="Mixing: seeds down the side.  [default: 0-4]")
@click.option("--cols", help="Mixing: seeds along the top.  [default: 5-10]")
@click.option("--layers", help="Mixing: rows of w that come from the top, e.g. 0-3.  [default: the coarse ones]")
@click.option("--psis", help="Truncation: its values.  [default: 1,0.85,0.7,0.5,0.3,0]")
@click.option("--steps", type=click.IntRange(2), help="Interpolation: images a row.  [default: 7]")
@click.option("--text", help="Make pictures of this, one a seed.")
@click.option(
    "--text-method",
    type=click.Choice(["best", "latent"]),
    help="Text: the best of --calls samples by CLIP, or its latents optimised.  [default: best]",
)
@click.option("--calls", type=click.IntRange(1), help="Text: samples that a picture is chosen from.  [default: 64]")
@click.option("--clip", help="Text: the CLIP that guides.  [default: clip_avatars_64]")
@click.option("--clip-weights", help="Text: weights of --clip, where its name does not say.")
@out_option("Folder for the images and grid.png, or for the sheet.", default="generated")
def command(
    weights: str,
    seeds: str | None,
    psi: float,
    cutoff: int | None,
    label: int | None,
    noise: str,
    sheet: str | None,
    rows: str | None,
    cols: str | None,
    layers: str | None,
    psis: str | None,
    steps: int | None,
    text: str | None,
    text_method: str | None,
    calls: int | None,
    clip: str | None,
    clip_weights: str | None,
    out: Path,
) -> None:
    """Sample images from a StyleGAN2, by seed or from a text, or draw a contact sheet of them.

    A seed gives the image that the official program makes of it. A sheet names its seeds on its margins and, for a
    machine, in the PNG's text chunk `advgen`.
    """
    from math import isfinite

    from advgen.core.device import set_threads
    from advgen.core.errors import BadArgument
    from advgen.core.provenance import Source
    from advgen.generators.stylegan2.load import load_stylegan2, located
    from advgen.generators.stylegan2.sample import save_images, seeds_of

    if not isfinite(psi):
        raise BadArgument(f"--psi must be a finite number, got {psi}; 0.7 is usual.")
    kinds = {"rows": "mixing", "cols": "mixing", "layers": "mixing", "psis": "truncation", "steps": "interpolation"}
    given = {"rows": rows, "cols": cols, "layers": layers, "psis": psis, "steps": steps}
    for name, kind in kinds.items():
        if given[name] is not None and sheet != kind:
            raise BadArgument(
                f"--{name} belongs to --sheet {kind}, got {f'--sheet {sheet}' if sheet else 'no --sheet'}."
            )
    of_text = {"text-method": text_method, "calls": calls, "clip": clip, "clip-weights": clip_weights}
    if text is None and (lone := [name for name, value in of_text.items() if value is not None]):
        raise BadArgument(f"--{lone[0]} belongs to --text, got no --text.")
    if text is not None and (sheet is not None or label is not None or cutoff is not None or noise != "const"):
        raise BadArgument("--text takes no --sheet, --class, --cutoff or --noise; leave them out.")
    chosen = seeds_of(seeds or ("0-15" if sheet in (None, "grid") else "0-5"))
    set_threads()
    if text is not None:
        _of_text(weights, text, chosen, psi, of_text, out)
        return
    file = located(weights)
    loaded = load_stylegan2(file)
    for note in loaded.info.notes:
        click.echo(f"note: {note}.", err=True)
    if sheet is None:
        paths = save_images(
            loaded.generator, chosen, out, psi=psi, cutoff=cutoff, label=label, noise=noise, sources=(Source.of(file),)
        )
        click.echo(f"images: {len(paths) - 1} in {out}")
        click.echo(f"sheet: {paths[-1]}")
        return

    import advgen
    from advgen.core.files import sha256
    from advgen.inversion.sheets import Sheets, numbers_of

    source = {"weights": file.name, "sha256": sha256(file), "advgen": advgen.__version__}
    sheets = Sheets(loaded.generator, psi, cutoff, label, noise, source)
    if sheet == "grid":
        drawn = sheets.grid(chosen)
    elif sheet == "interpolation":
        drawn = sheets.interpolation(chosen, steps=steps or 7)
    elif sheet == "truncation":
        drawn = sheets.truncation(chosen, numbers_of(psis or "1,0.85,0.7,0.5,0.3,0", "--psis"))
    else:
        if seeds is not None:
            raise BadArgument("a mixing sheet has two sets of seeds: give --rows and --cols instead of --seeds.")
        mixed = None if layers is None else seeds_of(layers, "layers")
        drawn = sheets.mixing(seeds_of(rows or "0-4"), seeds_of(cols or "5-10"), layers=mixed)
    path = out / f"{sheet}.png"
    drawn.save(path)
    click.echo(f"sheet: {path}")


def _of_text(
    weights: str, text: str, seeds: Sequence[int], psi: float, given: Mapping[str, str | int | None], out: Path
) -> None:
    from advgen.cli._networks import clip_of, generator_of
    from advgen.core.provenance import Source
    from advgen.editing.from_text import FromText, from_text, save
    from advgen.generators.stylegan2.load import located

    calls = given["calls"]
    asked = FromText(
        text, str(given["text-method"] or "best"), psi=psi, **({} if calls is None else {"calls": int(calls)})
    )
    weights_of_clip = given["clip-weights"]
    clip = clip_of(str(given["clip"] or "clip_avatars_64"), None if weights_of_clip is None else str(weights_of_clip))
    made = from_text(asked, generator_of(weights), clip, seeds)
    sheet = save(made, asked, seeds, out, sources=(Source.of(located(weights)),))
    first, last = float(made.first.mean()), float(made.score.mean())
    click.echo(f"images: {len(seeds)} in {out}, {made.calls} generator calls each")
    click.echo(f"cosine with the text, by the CLIP that chose: {last:.3f} (first samples {first:.3f})")
    click.echo(f"sheet: {sheet}")
