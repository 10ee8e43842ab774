"""Put images into a StyleGAN2: latents, their re-synthesis, and how near it is."""

import sys
from math import isfinite
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import click

from advgen.cli._networks import encoder_of, generator_of, perceptual_of, say
from advgen.cli._options import device_option, examples, json_option, out_option, print_json, print_table, seed_option

if TYPE_CHECKING:
    from advgen.inversion.files import Progress

_MEDIANS = (("lpips", 4), ("psnr", 2), ("ssim", 4), ("w_distance", 2), ("seconds", 2))  # columns and their digits
METHODS = ("image2stylegan", "projector", "pivotal", "encoder", "hybrid")


@click.command(
    "invert",
    epilog=examples(
        "advgen invert faces/ --weights stylegan2_avatars_64 --resize --out inverted",
        "advgen invert me.png --weights ffhq.pkl --method pivotal --limit 0.2 --out me",
        "advgen invert faces/ --weights ffhq.pkl --noise-maps --mask hole.png --out filled --resume",
    ),
)
@click.argument("place", type=click.Path(path_type=Path), metavar="IMAGE_OR_FOLDER")
@click.option("--weights", required=True, help="File of a StyleGAN2, of any kind, or the name of shipped weights.")
@click.option("--method", type=click.Choice(METHODS), default=METHODS[0], show_default=True)
@click.option(
    "--space", type=click.Choice(["w", "w+"]), help="Latents: one row, or one a layer.  [default: the method's]"
)
@click.option("--steps", type=click.IntRange(1), help="Steps of optimisation.  [default: the method's]")
@click.option("--lr", type=float, help="Learning rate.  [default: the method's]")
@click.option(
    "--noise-maps/--no-noise-maps", default=None, help="Optimise noise maps too.  [default: the projector does]"
)
@click.option("--encoder", help="Encoder for encoder and hybrid.  [default: WEIGHTS_encoder]")
@click.option("--mask", type=click.Path(path_type=Path), help="Grey image: white must match, black may be anything.")
@click.option(
    "--net",
    type=click.Choice(["squeeze", "alex", "vgg", "embedded", "none"]),
    help="Perceptual network.  [default: squeeze if found, else embedded]",
)
@click.option("--limit", type=float, help="Gate: the largest distance at which an inversion may be attacked.")
@click.option("--resize", is_flag=True, help="Cut the centre square and scale it, instead of refusing another size.")
@click.option("--batch", type=click.IntRange(1), default=8, show_default=True, help="Images optimised at once.")
@click.option("--compile", "compiled", is_flag=True, help="Synthesis through torch.compile: seconds first, then less.")
@seed_option
@device_option
@out_option("Folder for images, latents and table.", default="inverted")
@click.option("--resume", is_flag=True, help="Go on with what an interrupted call has left in --out.")
@json_option
def command(
    place: Path,
    weights: str,
    method: str,
    space: str | None,
    steps: int | None,
    lr: float | None,
    noise_maps: bool | None,
    encoder: str | None,
    mask: Path | None,
    net: str | None,
    limit: float | None,
    resize: bool,
    batch: int,
    seed: int,
    device: str,
    out: Path,
    resume: bool,
    compiled: bool,
    as_json: bool,
) -> None:
    """Put images into a StyleGAN2: latents, their re-synthesis, and how near it is.

    Images must be of the generator's size, or --resize is given. Numbers are measured on the saved images.
    """
    from advgen.core.device import choose, set_threads
    from advgen.generators.stylegan2.compiling import compile_synthesis
    from advgen.inversion.files import Work, invert_files
    from advgen.inversion.methods import Method

    asked = Method(method, space, steps, lr, noise_maps)
    where = choose(None if device == "auto" else device)
    set_threads()
    generator = generator_of(weights).to(where.device)
    if compiled:
        generator = compile_synthesis(generator)
    named, perceptual = perceptual_of(net, min(generator.resolution))
    work = Work(
        generator,
        asked,
        None if perceptual is None else perceptual.to(where.device),
        named,
        weights,
        encoder_of(encoder, weights).to(where.device) if method in ("encoder", "hybrid") else None,
        limit,
        mask,
        resize,
        batch,
        seed,
    )
    say(f"device {where}")
    rows = invert_files(work, place, out, resume=resume, say=say, tell=_follow)
    if as_json:
        print_json({"out": str(out), "images": [_plain(row._asdict()) for row in rows]})
        return
    _print(rows)
    click.echo(f"\nimages, latents, table.csv, before_after.png: {out}")


def _follow(progress: "Progress") -> None:
    """Progress on stderr: a line that is overwritten on a terminal, elsewhere a line a batch."""
    live = sys.stderr.isatty()
    at = f"[{progress.done}/{progress.total}]"
    if progress.step is None:
        say(f"\r\x1b[K{at}" if live else at)
    elif live and progress.step % 10 == 0:
        told = f"{at} step {progress.step}, loss {progress.loss:.4f}, {progress.seconds:.0f} s"
        click.echo(f"\r\x1b[K{told}", err=True, nl=False)


def _print(rows: list[Any]) -> None:
    """The table, and medians where there are several images."""
    head = ["image", f"distance ({rows[0].net})", "PSNR dB", "SSIM", "w from mean", "seconds"]
    gated = rows[0].passes is not None
    lines = [
        [r.image, f"{r.lpips:.4f}", f"{r.psnr:.2f}", f"{r.ssim:.4f}", f"{r.w_distance:.2f}", f"{r.seconds:.2f}"]
        + ([("passes" if r.passes else "too far")] if gated else [])
        for r in rows
    ]
    if len(rows) > 1:
        middle = [f"{median(getattr(r, f) for r in rows):.{d}f}" for f, d in _MEDIANS]
        lines.append(
            [f"median of {len(rows)}", *middle, *([f"{sum(bool(r.passes) for r in rows)} pass"] if gated else [])]
        )
    print_table([*head, *(["gate"] if gated else [])], lines)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """JSON has no infinities: equal images have a PSNR of null."""
    return {k: None if isinstance(v, float) and not isfinite(v) else v for k, v in row.items()}
