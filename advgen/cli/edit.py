"""Edit images by a sentence, through the latent space of a StyleGAN2."""

from pathlib import Path
from typing import Any

import click

from advgen.cli._networks import (
    AVATARS,
    attributes_of,
    clip_of,
    encoder_of,
    generator_of,
    identity_of,
    made_of_avatars,
    perceptual_of,
    say,
)
from advgen.cli._options import device_option, examples, json_option, out_option, print_json, print_table, seed_option

METHODS = ("global", "solved", "latent", "mapper", "direction")
INVERSIONS = ("image2stylegan", "projector", "pivotal", "encoder", "hybrid")


@click.command(
    "edit",
    epilog=examples(
        'advgen edit faces/ "a person with glasses" --out with_glasses',
        'advgen edit me.png "a smiling person" --also "a person with red hair" --strength 3 --sweep 1,2,4',
        'advgen edit me.png "an old man" --neutral "a man" --weights ffhq.pkl --clip ViT-B-32 --clip-weights b32.pt',
    ),
)
@click.argument("place", type=click.Path(path_type=Path), metavar="IMAGE_OR_FOLDER")
@click.argument("text")
@click.option("--also", multiple=True, metavar="TEXT", help="A further text, for the same edit; may be repeated.")
@click.option("--neutral", default="a person", show_default=True, help="Text that the edit starts from.")
@click.option(
    "--method",
    type=click.Choice(METHODS),
    default="global",
    show_default=True,
    help="global: StyleCLIP's global direction. solved: the quietest one. latent: optimisation. mapper: a "
    "trained mapper. direction: a file.",
)
@click.option("--strength", default="auto", show_default=True, help="A number, or auto: the smallest that does it.")
@click.option("--beta", type=float, help="Global: relevance under which a channel stays.  [default: 0.13]")
@click.option("--steps", type=click.IntRange(1), help="Latent: steps of optimisation.  [default: 300]")
@click.option("--file", "files", multiple=True, metavar="FILE", help="Of a mapper, one a text, or of a direction.")
@click.option("--templates", type=click.Path(path_type=Path), help="File of templates, a line each, {} for the text.")
@click.option("--weights", default="stylegan2_avatars_64", show_default=True, help="The StyleGAN2: a file, or a name.")
@click.option("--clip", default="clip_avatars_64", show_default=True, help="CLIP that guides: a name or a file.")
@click.option("--clip-weights", help="Weights of --clip, where its name does not say.")
@click.option("--truncate", is_flag=True, help="Cut the end off texts that are too long for CLIP.")
@click.option("--judge-clip", help="A second CLIP, that scores and does not guide.")
@click.option("--identity", help="Network of identities.  [default: for generators of avatars the shipped one]")
@click.option("--attributes", help="Network of attributes.  [default: for generators of avatars the shipped one]")
@click.option("--wants", multiple=True, metavar="NAME", help="Attribute that must show, or with no: in front must not.")
@click.option("--most-lpips", type=float, default=0.3, show_default=True, help="Budget of auto: distance.")
@click.option("--least-identity", type=float, default=0.5, show_default=True, help="Budget of auto: cosine.")
@click.option("--sweep", help="Strengths that the sheet shows beside, e.g. 1,2,4.")
@click.option("--mask", type=click.Path(path_type=Path), help="Grey image: white may change, black stays.")
@click.option(
    "--inversion", type=click.Choice(INVERSIONS), help="[default: hybrid with an encoder, else image2stylegan]"
)
@click.option(
    "--region",
    type=click.Choice(["auto", "all"]),
    default="auto",
    show_default=True,
    help="auto: only where the change brings CLIP nearer to the text; --mask goes before it.",
)
@click.option("--inversion-steps", type=click.IntRange(1), help="Steps of the inversion.  [default: its own]")
@click.option("--encoder", help="Encoder for the inversion.  [default: WEIGHTS_encoder]")
@click.option("--limit", type=float, default=0.2, show_default=True, help="Largest distance of an inversion.")
@click.option("--force", is_flag=True, help="Edit images beyond the limit too.")
@click.option("--net", type=click.Choice(["squeeze", "alex", "vgg", "embedded", "none"]), help="Perceptual network.")
@click.option("--resize", is_flag=True, help="Cut the centre square and scale it, instead of refusing another size.")
@click.option("--batch", type=click.IntRange(1), default=8, show_default=True, help="Images inverted at once.")
@seed_option
@device_option
@out_option("Folder for images, latents, table and sheet.", default="edited")
@json_option
def command(place: Path, text: str, also: tuple[str, ...], **given: Any) -> None:
    """Edit images by a sentence, through the latent space of a StyleGAN2.

    An image is inverted, its latents are moved, and the picture is made again. Images that the generator cannot make
    are refused. What was inverted into --out before is not inverted again.
    """
    from advgen.core.device import choose, set_threads
    from advgen.editing.edits import Edit, Judges
    from advgen.editing.files import EditWork, edit_files
    from advgen.editing.global_directions import BETA
    from advgen.editing.prompts import TEMPLATES
    from advgen.editing.regions import SHARE
    from advgen.experiments.data._files import cache_folder
    from advgen.inversion.files import Work
    from advgen.inversion.methods import Method

    edit = Edit(
        (text, *also),
        given["neutral"],
        given["method"],
        BETA if given["beta"] is None else given["beta"],
        TEMPLATES if given["templates"] is None else _lines(given["templates"]),
        given["files"],
        None if given["steps"] is None else {"steps": given["steps"]},
        SHARE if given["region"] == "auto" else None,
    )
    strength, sweep = _strength(given["strength"]), _numbers(given["sweep"])
    device = choose(None if given["device"] == "auto" else given["device"]).device
    set_threads()
    clip = clip_of(given["clip"], given["clip_weights"], truncate=given["truncate"])
    generator = generator_of(given["weights"]).to(device)
    inversion, encoder = _inversion(given, device)
    named, perceptual = perceptual_of(given["net"], min(generator.resolution))
    perceptual = None if perceptual is None else perceptual.to(device)
    own = AVATARS if made_of_avatars(given["weights"]) else {}
    identity = given["identity"] or own.get("identity")
    attributes = given["attributes"] or own.get("attributes")
    logits, names = attributes_of(attributes, device) if attributes else (None, ())
    judges = Judges(
        perceptual,
        named,
        identity_of(identity, device) if identity else None,
        logits,
        names,
        clip_of(given["judge_clip"], None) if given["judge_clip"] else None,
        tuple((name.removeprefix("no:"), not name.startswith("no:")) for name in given["wants"]),
    )
    inverting = Work(
        generator, Method(inversion, steps=given["inversion_steps"]), perceptual, named, given["weights"], encoder,
        given["limit"], None, given["resize"], given["batch"], given["seed"],
    )  # fmt: skip
    work = EditWork(
        inverting, clip, edit, judges, strength, sweep, given["mask"], given["force"], given["most_lpips"],
        given["least_identity"], given["clip"], cache_folder(),
    )  # fmt: skip
    out = given["out"]
    done = edit_files(work, place, out, say=say)
    if given["as_json"]:
        print_json(
            {
                "out": str(out),
                "images": [row._asdict() for row in done.rows],
                "too far": [{"image": row.image, "distance": row.lpips} for row in done.refused],
            }
        )
        return
    _print(done.rows)
    click.echo(f"\nimages, latents, table.csv, sheet.png: {out}")


def _inversion(given: dict[str, Any], device: Any) -> tuple[str, Any]:
    """The method of inversion and its encoder."""
    from advgen.core.errors import MissingFile

    if given["inversion"] in ("image2stylegan", "projector", "pivotal"):
        return given["inversion"], None
    try:
        return given["inversion"] or "hybrid", encoder_of(given["encoder"], given["weights"]).to(device)
    except MissingFile:
        if given["inversion"] is not None or given["encoder"] is not None:
            raise
        say("note: the generator has no encoder, so images are inverted by optimisation alone, which takes longer.")
        return "image2stylegan", None


def _strength(text: str) -> float | None:
    from math import isfinite

    from advgen.core.errors import BadArgument

    if text == "auto":
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise BadArgument(f"--strength must be a number or auto, got {text!r}.")
    return value


def _numbers(text: str | None) -> tuple[float, ...]:
    from advgen.inversion.sheets import numbers_of

    return () if text is None else tuple(numbers_of(text, "--sweep"))


def _lines(path: Path) -> tuple[str, ...]:
    from advgen.core.errors import BadFile, MissingFile

    try:
        lines = tuple(line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip())
    except FileNotFoundError:
        raise MissingFile(f"there is no file {str(path)!r} of templates.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"{path} cannot be read as templates, one a line: {error}.") from None
    if not lines:
        raise BadFile(f"{path} holds no templates; lines such as 'a photo of {{}}' were expected.")
    return lines


def _print(rows: list[Any]) -> None:
    """The table, with a column for every judge that there was."""
    first = rows[0]
    head = ["image", "strength", f"text, by {first.scored_by}", f"distance ({first.net})"]
    head += ["identity"] * (first.identity is not None) + ["attributes"] * (first.turned_on is not None)
    head += ["does it"] * (first.done is not None) + ["seconds"]
    lines = []
    for row in rows:
        line = [
            row.image,
            f"{row.strength:g}",
            f"{row.score_before:+.3f} to {row.score_after:+.3f}",
            f"{row.lpips:.3f}",
        ]
        if row.identity is not None:
            line.append(f"{row.identity:.3f}")
        if row.turned_on is not None:
            changed = [f"+{n}" for n in row.turned_on.split(", ") if n] + [
                f"-{n}" for n in row.turned_off.split(", ") if n
            ]
            line.append(" ".join(changed) or "the same")
        if row.done is not None:
            line.append("yes" if row.done else "no")
        lines.append([*line, f"{row.seconds:.2f}"])
    print_table(head, lines)
