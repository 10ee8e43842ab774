"""How often the judges are wrong: on held-out avatars as drawn, and as a generator gives them back."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from advgen.core import checkpoints
from advgen.core.files import sha256
from advgen.core.images import to_float
from advgen.experiments import avatars as renderer
from advgen.experiments.avatars import Avatar
from advgen.experiments.edits import inverting, oracle, portraits, reading
from advgen.experiments.edits.attributes import ATTRIBUTES, UNSEEN, Change, true_counterfactual
from advgen.experiments.edits.verdicts import holds, judged
from advgen.experiments.stats import Rate, wilson
from advgen.zoo.load import zoo_load

COUNT = 1024  # held-out avatars
EDITED = 256  # of them, for true counterfactuals
CLOSELY, STEPS = 64, 60  # of them, inverted by steps of optimisation; how many
FAR = 0.01  # pairs of two persons that are taken for one
PERSONS = 128  # that the generator knows
# One edit of each attribute that editors are asked for; the card's verdicts on the renderer's own answers to them.
EDITS = tuple(
    Change(*pair)
    for pair in (
        ("hair_colour", "blue"),
        ("glasses", "clear"),
        ("beard", "full"),
        ("hat", "beanie"),
        ("expression", "smile"),
        ("age", "elderly"),
        ("earrings", "worn"),
        ("hair_style", "long straight"),
    )
)


class Sets(NamedTuple):
    """Held-out pictures whose truth is known, and the networks that inverted them."""

    generator: nn.Module
    encoder: nn.Module
    avatars: list[Avatar]

    test: portraits.Portraits  # of the data set, persons that the generator knows and the judge does not
    inverted: portraits.Portraits  # by the encoder alone
    even: portraits.Portraits  # every attribute drawn evenly and alone, persons that nobody knows


def sets(generator: str, encoder: str, *, split: str = "test", count: int = COUNT) -> Sets:
    test, some = portraits.of_data(split, count)
    networks = zoo_load(generator)[0], zoo_load(encoder)[0]
    even = portraits.load(count, persons=count, seed=portraits.POPULATION + 2)
    return Sets(*networks, some, test, test._replace(images=inverting.inverted(test.images, *networks)), even)


def accuracies(network: nn.Module, some: portraits.Portraits) -> dict[str, Rate]:
    """How often each attribute is read right, over the pictures that show it."""
    found = reading.read(network, some.images).values
    known = some.values != UNSEEN
    right = (found == some.values) & known
    return {name: wilson(int(right[:, k].sum()), int(known[:, k].sum())) for k, name in enumerate(ATTRIBUTES)}


def of_attributes(network: nn.Module, generator: str, encoder: str) -> dict[str, Any]:
    """What stands on the card of `judge_attributes`: accuracies, verdicts on true edits, and the oracle's errors."""
    test = sets(generator, encoder)
    each = (("as drawn", test.test), ("inverted", test.inverted), ("closely", closely(test)), ("even", test.even))
    measured: dict[str, Any] = {
        f"accuracy {name}": {key: as_metric(value) for key, value in accuracies(network, some).items()}
        for name, some in each
    }
    measured["true counterfactuals"] = {change.attribute: true_edits(network, test, change) for change in EDITS}
    measured["two noises"] = _two_noises(network, test.generator)
    measured["measured on"] = _measured_on(generator, encoder)
    measured["oracle"] = _oracle(network, test, sets(generator, encoder, split="calibration"))
    return measured


def true_edits(network: nn.Module, test: Sets, change: Change) -> dict[str, Any]:
    """What the judge says of the renderer's own edits, both pictures as drawn, and both inverted by the encoder.

    Inverted, an edit may be lost on the way: what the judge then does not see is not there.
    """
    asked = [(change,)] * EDITED
    before = test.test.take(slice(EDITED))
    after = portraits.portraits([true_counterfactual(avatar, (change,)) for avatar in test.avatars[:EDITED]])
    truths = (before.values.numpy(), after.values.numpy())
    found: dict[str, Any] = {}
    for name, again in (("as drawn", False), ("inverted", True)):
        pair = [part.images for part in (before, after)]
        if again:
            pair = [inverting.inverted(images, test.generator, test.encoder) for images in pair]
        told = judged(*(reading.read(network, images) for images in pair), asked, truths=truths)
        open_ = ~holds(reading.read(network, pair[0]), asked)
        found[f"asked-for {name}"] = as_metric(wilson(int(told.asked_for[open_].sum()), int(open_.sum())))
        found[f"exact {name}"] = as_metric(wilson(int(told.exact[open_].sum()), int(open_.sum())))
    return found


def _two_noises(network: nn.Module, generator: nn.Module) -> dict[str, Any]:
    """Of generated pictures and the same w in another noise: how many are read alike, and which attributes are not."""
    pair = (reading.read(network, images) for images in inverting.in_two_noises(generator, EDITED))
    told = judged(*pair, [()] * EDITED)
    names = [name for row in told.others for name in row]
    shares = {name: round(names.count(name) / EDITED, 4) for name in ATTRIBUTES if name in names}
    return {"nothing changed": as_metric(wilson(told.others.count(()), EDITED)), "changed": shares}


def _oracle(network: nn.Module, test: Sets, calibration: Sets) -> dict[str, Any]:
    """Left over: of each number's variance over people, on calibration avatars as drawn; the rest on test avatars.

    The limit lets 99 in a hundred inverted calibration avatars pass as themselves: inversion loses much of a person.
    """
    mean, deviation = portraits.scales()

    def known(some: portraits.Portraits) -> Tensor:
        return (some.parameters - mean) / deviation

    residual = [
        reading.read(network, some.images).parameters - known(some) for some in (calibration.test, calibration.inverted)
    ]
    left_over = residual[0].square().mean(0).clamp(min=0.01)
    own = (residual[1].square() / left_over).mean(1)
    measured: dict[str, Any] = {
        "left over": dict(zip(portraits.PARAMETERS, [round(x, 4) for x in left_over.tolist()])),
        "limit": round(float(own.quantile(0.99)), 4),
    }
    people = oracle.standardised([renderer.identity(0, k) for k in range(PERSONS)])
    for name, some in (("as drawn", test.test), ("inverted", test.inverted)):
        found = reading.read(network, some.images)
        apart = oracle.distances(found.parameters, people, left_over)
        itself = apart.gather(1, some.person[:, None])
        others = apart.scatter(1, some.person[:, None], float("inf"))
        points = (found.points - portraits.SIZE * some.landmarks).norm(dim=2)
        n = len(apart)
        measured[name] = {
            "nearest of 128 persons is the right one": as_metric(wilson(int((itself <= apart).all(1).sum()), n)),
            "nearer to another person, drawn at random": round(float((others < itself).sum() / (n * (PERSONS - 1))), 5),
            "within the limit": as_metric(wilson(int((itself[:, 0] <= measured["limit"]).sum()), n)),
            "explained variance": round(float(1 - (found.parameters - known(some)).square().mean()), 4),
            "points off by pixels": round(float(points.mean()), 3),
        }
    return measured


def closely(test: Sets) -> portraits.Portraits:
    """The first pictures of the test split, inverted by `STEPS` of optimisation from the encoder's start."""
    some = test.test.take(slice(CLOSELY))
    return some._replace(images=inverting.inverted_closely(some.images, test.generator, test.encoder, steps=STEPS))


def of_identity(network: nn.Module, generator: str, encoder: str) -> dict[str, Any]:
    """What stands on the card of `judge_identity`: the threshold, and the rates of genuine and impostor pairs.

    The threshold is the stricter of that for pictures as drawn and that for inverted ones, on the calibration split.
    """
    calibration = sets(generator, encoder, split="calibration")
    drawn = embed(network, calibration.test.images)
    back = embed(network, calibration.inverted.images)
    person = calibration.test.person
    limits = [float(np.quantile(pairs(e, person).impostor, 1 - FAR)) for e in (drawn, back)]
    threshold = max(limits)
    test = sets(generator, encoder)
    drawn, back, person = embed(network, test.test.images), embed(network, test.inverted.images), test.test.person
    measured: dict[str, Any] = {
        "threshold": round(threshold, 6),
        "threshold as drawn": round(limits[0], 6),
        "threshold inverted": round(limits[1], 6),
        "far of calibration": FAR,
    }
    for name, some in (("as drawn", pairs(drawn, person)), ("inverted", pairs(back, person))):
        measured[f"genuine pairs accepted {name}"] = as_metric(_above(some.genuine, threshold))
        measured[f"impostor pairs accepted {name}"] = as_metric(_above(some.impostor, threshold))
    noises = (embed(network, images) for images in inverting.in_two_noises(test.generator, EDITED))
    measured["two noises accepted"] = as_metric(_above(torch.stack([*noises]).prod(0).sum(1).numpy(), threshold))
    itself = (drawn * back).sum(1).numpy()
    measured["measured on"] = _measured_on(generator, encoder)
    measured["inversions accepted as their original"] = as_metric(_above(itself, threshold))
    return measured


def renew(out: Path) -> None:
    """Measures the shipped judges again, on the generator and encoder that are shipped now; writes their cards."""
    for name, measure in (("judge_attributes_64", of_attributes), ("judge_identity_64", of_identity)):
        loaded = checkpoints.load(out / f"{name}.safetensors")
        network, card = zoo_load(str(out / f"{name}.safetensors"))
        measured = measure(network, str(card.args["generator"]), str(card.args["encoder"]))
        checkpoints.save(
            out / f"{name}.safetensors", loaded.tensors, card._replace(metrics={**card.metrics, **measured})
        )


def _measured_on(generator: str, encoder: str) -> dict[str, str]:
    """Networks that inverted, each with the beginning of its file's SHA-256."""
    return {name: sha256(checkpoints.find(name))[:16] for name in (generator, encoder)}


class Pairs(NamedTuple):
    genuine: np.ndarray  # cosines of two pictures of one person
    impostor: np.ndarray  # of two persons


def pairs(embedded: Tensor, person: Tensor) -> Pairs:
    """Cosines of all pairs of different pictures."""
    cosines = (embedded @ embedded.T).numpy()
    same = (person[:, None] == person[None]).numpy()
    above = np.triu(np.ones_like(same), 1)
    return Pairs(cosines[same & above], cosines[~same & above])


def separation(embedded: Tensor, person: Tensor) -> float:
    """Share of genuine pairs above all but `FAR` of the impostors."""
    found = pairs(embedded, person)
    return float((found.genuine > np.quantile(found.impostor, 1 - FAR)).mean())


@torch.no_grad()
def embed(network: nn.Module, images_u8: Tensor) -> Tensor:
    """Places (N, D) of length 1 of portraits (N, 3, 64, 64) uint8."""
    reading.check(images_u8)
    device = next(network.parameters()).device
    rows = [network(to_float(some.to(device))).float().cpu() for some in images_u8.split(reading.BATCH)]
    return torch.cat(rows) if rows else torch.empty(0, 1)


def as_metric(found: Rate) -> dict[str, Any]:
    """A rate as it stands on a card."""
    if found.value is None:
        return {"value": None, "n": 0}
    return {"value": round(found.value, 6), "low": round(found.low or 0, 6), "high": round(found.high or 0, 6)} | {
        "n": found.n
    }


def _above(cosines: np.ndarray, threshold: float) -> Rate:
    return wilson(int((cosines >= threshold).sum()), len(cosines))


if __name__ == "__main__":
    renew(checkpoints.places()[0])
