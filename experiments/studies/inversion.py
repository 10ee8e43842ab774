"""Which way of putting an image into the latent space is nearest after how many seconds, and W against W+."""

from collections.abc import Iterable
from typing import Any

from advgen.core import checkpoints
from advgen.experiments.study import Study, parse

QUESTION = (
    "Which inversion is nearest after 0.1, 0.3, 1, 3 and 10 seconds an image: optimiser, encoder, both, or tuning?"
)
DESCRIPTION = (
    "Each method inverts one image at a time on one thread. In the generator's domain: held-out avatars. Outside of "
    "it: photographs of faces (Labeled Faces in the Wild, brought by the reader; left out where they are not there). "
    "LPIPS, PSNR and SSIM are measured on the re-synthesis rounded to bytes. Seconds are the processor's own."
)
ARMS: dict[str, dict[str, Any]] = {
    "optimiser, W+": {"method": "image2stylegan", "space": "w+", "steps": 220},
    "optimiser, W": {"method": "image2stylegan", "space": "w", "steps": 220},
    "encoder": {"method": "encoder"},
    "encoder, then optimiser": {"method": "hybrid", "steps": 220},
    "pivotal tuning": {"method": "pivotal", "steps": 100},
}
AVATARS, FACES = "avatars", "real faces"
COUNTS = {AVATARS: 64, FACES: 8}
FEWER = {"optimiser, W": 16, "pivotal tuning": 16}  # avatars of arms that no claim needs more of
SECONDS = (0.1, 0.3, 1, 3, 10)


def study() -> Study:
    """Five arms on two kinds of images."""
    faces = checkpoints.data_home() / "images" / "faces" / "lfw"

    def arms(*names: str) -> list[dict[str, Any]]:
        return [{"arm": name, "args": ARMS[name]} for name in names]

    def of_avatars(count: int, names: Iterable[str]) -> dict[str, Any]:
        return {"label": AVATARS, "args": {"data": "avatars", "count": count}, "arms": arms(*names)}

    many = [name for name in ARMS if name not in FEWER]
    places = [of_avatars(COUNTS[AVATARS], many), *(of_avatars(n, [name]) for name, n in FEWER.items())]
    if faces.is_dir():
        places.append(
            {"label": FACES, "args": {"data": f"folder:{faces}", "count": COUNTS[FACES]}, "arms": arms(*ARMS)}
        )
    return parse(
        {
            "name": "inversion",
            "question": QUESTION,
            "description": DESCRIPTION,
            "measurements": [{"measure": "inversion", "seeds": [0], **place} for place in places],
            "claims": _claims(with_faces=faces.is_dir()),
        },
        "inversion",
    )


def _claims(*, with_faces: bool) -> list[dict[str, Any]]:
    both = {"label": AVATARS, "arm": "encoder, then optimiser"}
    claims: list[dict[str, Any]] = [
        {
            "statement": f"Avatars: after {seconds} s encoder and optimiser are nearer than the optimiser alone",
            "quantity": "lpips",
            "of": both,
            "versus": {"label": AVATARS, "arm": "optimiser, W+"},
            "at": {"seconds": seconds},
            "relation": "<",
        }
        for seconds in SECONDS
    ]
    claims += [
        {
            "statement": f"Avatars: after {seconds} s they are at most 0.002 further than the {other}",
            "quantity": "lpips",
            "of": both,
            "versus": {"label": AVATARS, "arm": arm},
            "at": {"seconds": seconds},
            "relation": "<",
            "margin": 0.002,
        }
        for seconds, other, arm in ((0.1, "encoder alone", "encoder"), (10, "tuned generator", "pivotal tuning"))
    ]
    claims += [
        {
            "statement": "Avatars: the encoder takes under 0.03 s an image",
            "quantity": "seconds",
            "of": {"label": AVATARS, "arm": "encoder"},
            "relation": "<",
            "margin": 0.03,
        },
        {
            "statement": "Avatars: W+ comes nearer than W",
            "quantity": "lpips",
            "of": {"label": AVATARS, "arm": "optimiser, W+"},
            "versus": {"label": AVATARS, "arm": "optimiser, W"},
            "relation": "<",
        },
    ]
    if with_faces:
        claims.append(
            {
                "statement": "Real faces: W leaves at least 0.05 more LPIPS than W+",
                "quantity": "lpips",
                "of": {"label": FACES, "arm": "optimiser, W"},
                "versus": {"label": FACES, "arm": "optimiser, W+"},
                "relation": ">",
                "margin": 0.05,
            }
        )
    return claims
