"""Make a deepfake of two faces: the person of A in the pose, expression and picture of B."""

from pathlib import Path
from typing import Any

import click

from advgen.cli._networks import AVATARS, encoder_of, generator_of, identity_of, made_of_avatars, perceptual_of
from advgen.cli._options import device_option, examples, json_option, out_option, print_json, print_table, seed_option

INVERSIONS = ("encoder", "hybrid", "image2stylegan", "pivotal")


@click.command(
    "deepfake",
    epilog=examples(
        "advgen deepfake swap_latent anna.png ben.png --out swapped",
        "advgen deepfake swap_latent anna.png frames/ --rows 4-7 --blend paste --weights ffhq.pkl --inversion pivotal",
    ),
)
@click.argument("method", type=click.Choice(["swap_latent"]))
@click.argument("source", type=click.Path(path_type=Path), metavar="A")
@click.argument("driving", type=click.Path(path_type=Path), metavar="B")
@click.option("--rows", help="Rows of w that carry identity, e.g. 1-2.  [default: the method's]")
@click.option("--blend", type=click.Choice(["difference", "paste"]), help="The change alone, or the whole new face.")
@click.option("--mask", help="ellipse, none, or a grey image: white where the new face shows.  [default: ellipse]")
@click.option("--weights", default="stylegan2_avatars_64", show_default=True, help="The StyleGAN2: a file, or a name.")
@click.option("--encoder", help="Encoder for the inversion.  [default: WEIGHTS_encoder]")
@click.option("--inversion", type=click.Choice(INVERSIONS), default="hybrid", show_default=True)
@click.option("--inversion-steps", type=click.IntRange(1), help="Steps of the inversion.  [default: its own]")
@click.option("--limit", type=float, help="Largest distance of an inversion.  [default: any]")
@click.option("--identity", help="Network of identities.  [default: for generators of avatars the shipped one]")
@click.option("--net", type=click.Choice(["squeeze", "alex", "vgg", "embedded", "none"]), help="Perceptual network.")
@click.option("--resize", is_flag=True, help="Cut the centre square and scale it, instead of refusing another size.")
@seed_option
@device_option
@out_option("Folder for images, table and sheet.", default="deepfakes")
@json_option
def command(method: str, source: Path, driving: Path, **given: Any) -> None:
    """Make a deepfake of two faces: the person of A in the pose, expression and picture of B.

    A and B are image files; or B is a folder of frames, and A one face or as many. Every file says in its metadata
    that it is synthetic, how it was made and from which files; `advgen show FILE` reads it back.
    """
    from advgen.core.device import choose, set_threads
    from advgen.core.errors import BadArgument
    from advgen.core.registry import create
    from advgen.experiments.deepfakes import DeepfakeWork, deepfake_files
    from advgen.inversion.methods import Method

    device = choose(None if given["device"] == "auto" else given["device"]).device
    set_threads()
    weights, inversion = given["weights"], given["inversion"]
    generator = generator_of(weights).to(device).eval().requires_grad_(False)
    named, perceptual = perceptual_of(given["net"], min(generator.resolution))
    perceptual = None if perceptual is None else perceptual.to(device)
    encoder = encoder_of(given["encoder"], weights).to(device) if inversion in ("encoder", "hybrid") else None
    space = "w+" if inversion in ("hybrid", "image2stylegan") else None
    inverter = Method(inversion, space=space, steps=given["inversion_steps"]).make(generator, perceptual, encoder)
    mask = given["mask"]
    args: dict[str, Any] = {
        "inversion": inversion,
        "inversion_steps": given["inversion_steps"],
        "limit": given["limit"],
    }
    if given["rows"] is not None:
        args["first"], args["last"] = _rows(given["rows"], BadArgument)
    if given["blend"] is not None:
        args["blend"] = given["blend"]
    if mask in ("ellipse", "none"):
        args["mask"] = mask
    maker = create("attacks", f"deepfake/{method}", generator=generator, inverter=inverter, **args)
    own = AVATARS if made_of_avatars(weights) else {}
    identity = given["identity"] or own.get("identity")
    work = DeepfakeWork(
        f"deepfake/{method}", maker, weights, perceptual, named,
        identity_of(identity, device) if identity else None,
        None if mask in (None, "ellipse", "none") else Path(mask), given["resize"], given["seed"],
    )  # fmt: skip
    out = given["out"]
    rows = deepfake_files(work, source, driving, out)
    if given["as_json"]:
        print_json({"out": str(out), "images": [row._asdict() for row in rows]})
        return
    head = ["fake", "inversions", f"to B ({named})", "identity with A", "with B"]
    print_table(
        head,
        [
            [
                row.image,
                f"{row.source_distance:.3f}, {row.driving_distance:.3f}",
                *(f"{v:.3f}" if v is not None else "-" for v in (row.lpips, row.identity_source, row.identity_driving)),
            ]
            for row in rows
        ],
    )
    click.echo(f"\nimages, table.csv, sheet.png: {out}")


def _rows(text: str, refused: type[Exception]) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()):
        raise refused(f"--rows are written 1-2 or 3, got {text!r}.")
    return int(first), int(last if dash else first)
