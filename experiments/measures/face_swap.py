"""What a face swap carries over, against the renderer's true swap: the source's person, all else the driving face's.

Pairs of held-out avatars. Persons and attributes are read on saved bytes by the judge of edits, which no maker knows;
its own errors stand in docs/edit_judge.md. `shown` "driving" measures the driving picture as it is, the control that
carries nothing over, and "true" the true swap itself, which is what a perfect one would read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, final

import torch
from torch import Tensor

from advgen.attacks.deepfake.swap_latent import SwapLatent
from advgen.core import checkpoints
from advgen.core.errors import UnknownName
from advgen.core.files import sha256
from advgen.core.images import grid, png_bytes, to_float, to_uint8
from advgen.core.meter import Meter
from advgen.core.perceptual import LPIPS, default_net
from advgen.core.rng import SampleRng
from advgen.experiments.avatars import Avatar
from advgen.experiments.edits import portraits, reading
from advgen.experiments.edits.attributes import VALUES
from advgen.experiments.edits.oracle import NAME, Oracle
from advgen.experiments.measured import Measured, Picture, Reading
from advgen.inversion.encoder import belonging
from advgen.inversion.methods import Method
from advgen.zoo.load import zoo_load

SHOWN = 8
BATCH = 16
KEPT = ("expression", "glasses", "hair_colour")
SHOWS = ("swap", "driving", "true")


@final
@dataclass(frozen=True)
class FaceSwap:
    """The arguments of one measurement."""

    quantities: ClassVar = {
        "lpips_truth": {"means": "LPIPS to the true swap", "better": "lower"},
        "source_found": {
            "means": "the oracle finds the source nearer than the driving face's person",
            "unit": "share",
            "better": "higher",
        },
        "expression_kept": {"means": "expression read as on the driving face", "unit": "share", "better": "higher"},
        "glasses_kept": {"means": "glasses read as on the driving face", "unit": "share", "better": "higher"},
        "hair_colour_kept": {"means": "hair colour read as on the driving face", "unit": "share", "better": "higher"},
    }
    plots = ()

    shown: Literal["swap", "driving", "true"] = "swap"  # what is measured
    first: int = 1  # row of w where identity begins
    last: int = 2  # row of w where it ends, itself included
    blend: str = "difference"  # difference or paste
    inversion: str = "hybrid"  # encoder, hybrid, image2stylegan or pivotal
    steps: int | None = 60  # of the inversion; None = the method's own
    generator: str = "stylegan2_avatars_64"  # shipped name or path
    count: int = 32  # pairs

    def __post_init__(self) -> None:
        if self.shown not in SHOWS:
            raise UnknownName.among("picture to measure", self.shown, SHOWS)

    def inputs(self) -> Mapping[str, str]:
        names = (self.generator, belonging(self.generator), NAME)
        return {name: sha256(checkpoints.find(Path(name).stem)) for name in names}

    def run(self, *, seed: int, device: torch.device, meter: Meter, out: Path) -> Measured:
        faces, avatars = portraits.of_data("test", 2 * self.count)
        sources, frames = avatars[: self.count], avatars[self.count :]
        truth = portraits.portraits([_swapped(a, b) for a, b in zip(sources, frames, strict=True)]).images
        driving = faces.images[self.count :]
        made = {"driving": driving, "true": truth}.get(self.shown)
        if made is None:
            made = self._fakes(faces.images[: self.count], driving, seed, device, meter)
        net = default_net(int(driving.shape[-1]))
        with torch.no_grad():
            distance = LPIPS(net.net)(to_float(made), to_float(truth)).tolist()
        oracle = Oracle()
        persons = [[avatar.identity for avatar in part] for part in (sources, frames)]
        nearer = oracle.verdict(made, *persons).nearer_source.tolist()
        before, after = (reading.read(oracle.network, images).probabilities for images in (driving, made))
        readings = []
        for k, (source, frame) in enumerate(zip(sources, frames, strict=True)):
            name, person = f"pair/{k}", f"{source.identity.number}"
            readings.append(Reading(name, "lpips_truth", distance[k], person))
            if source.identity != frame.identity:
                readings.append(Reading(name, "source_found", float(nearer[k]), person))
            for kept in KEPT:
                same = int(before[kept][k].argmax()) == int(after[kept][k].argmax())
                assert before[kept].shape[1] == len(VALUES[kept])
                readings.append(Reading(name, f"{kept}_kept", float(same), person))
        stand_ins = {} if net.net == "squeeze" else {"published LPIPS": net.reason}
        strip = [each for k in range(SHOWN) for each in (faces.images[k], driving[k], made[k], truth[k])]
        picture = Picture(png_bytes(grid(strip, columns=8)), "person of, picture of, made, true swap")
        return Measured(tuple(readings), (), (picture,), (f"LPIPS: {net}",), stand_ins)

    def _fakes(self, source: Tensor, driving: Tensor, seed: int, device: torch.device, meter: Meter) -> Tensor:
        generator: Any = zoo_load(self.generator)[0].to(device).requires_grad_(False)
        encoder = zoo_load(belonging(self.generator))[0].to(device) if self.inversion in ("encoder", "hybrid") else None
        space = "w+" if self.inversion in ("hybrid", "image2stylegan") else None
        method = Method(self.inversion, space=space, steps=None if self.inversion == "encoder" else self.steps)
        inverter = method.make(generator, LPIPS("embedded").to(device), encoder)
        blend: Any = self.blend
        maker = replace(
            SwapLatent(first=self.first, last=self.last, blend=blend), generator=generator, inverter=inverter
        )
        rows = []
        for at in torch.arange(len(source)).split(BATCH):
            rng = SampleRng.for_samples(seed, "deepfake", [f"pair/{int(k)}" for k in at])
            pair = [to_float(images[at]).to(device) for images in (source, driving)]
            rows.append(to_uint8(maker.swap(*pair, rng=rng, meter=meter).images.cpu()))
        return torch.cat(rows)


def _swapped(source: Avatar, driving: Avatar) -> Avatar:
    return replace(driving, identity=source.identity)
