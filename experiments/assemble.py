"""Assembly: the one place that joins parts, from names in a cell to networks, attacks and defenses in memory.

What a cell names is loaded once a process; a plug-in's `needs` are filled here and nowhere else.
"""

import math
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from advgen.core import checkpoints, registry
from advgen.core.alarms import EXPECTED_FALSE_ALARMS, calibrate
from advgen.core.budgets import make_budget, require_reachable
from advgen.core.device import Device
from advgen.core.errors import BadArgument, MissingFile
from advgen.core.goals import LogitGoal, make_goal
from advgen.core.perceptual import LPIPS, default_net
from advgen.core.perceptual_nets import NETS
from advgen.core.rng import SampleRng
from advgen.core.specs import GIVEN, BudgetSpec, Card, Cell, DataSpec, Part
from advgen.core.targets import ModuleTarget
from advgen.core.types import Attack, Budget, Defended, Detector, Purifier, Slice, Target
from advgen.experiments import clip_target, detector_target, latent_parts
from advgen.experiments.data._load import load as load_data
from advgen.experiments.matcher_target import gallery_of
from advgen.experiments.named_targets import named
from advgen.experiments.remembered import Remembering
from advgen.experiments.study import joined_args
from advgen.experiments.trained import PREFIX, checkpoint_of
from advgen.experiments.wanted import wanted_of
from advgen.inversion.encoder import belonging
from advgen.zoo import load as zoo

FIT_COUNT = 256  # clean training images that a detector may learn from
CALIBRATION_COUNT = 400  # clean calibration images behind a threshold
FPR = 0.05  # rate of false alarms unless a part says otherwise


class Joined(NamedTuple):
    """A cell with everything in memory."""

    defended: Defended
    surrogate: Target | None
    attack: Attack | None


class Assembly:
    """Loads what cells name, each thing once, onto one device."""

    def __init__(self, device: Device, *, say: Callable[[str], None] = lambda sentence: None) -> None:
        self.device = torch.device(device.device)
        self._say = say  # told once of each choice that a reader should know of
        self._said: set[str] = set()
        self._slices: dict[DataSpec, Slice] = {}
        self._targets: dict[tuple[Part, DataSpec], tuple[ModuleTarget, Card]] = {}
        self._networks: dict[str, tuple[nn.Module, Card]] = {}
        self._generators: dict[str, nn.Module] = {}
        self._clips: dict[str, Any] = {}
        self._metrics: dict[str, LPIPS] = {}
        self._inverters: dict[tuple[Any, ...], Remembering] = {}
        self._oracle: Any = None
        self._kept: dict[Any, Any] = {}
        self._defended: dict[tuple[Any, ...], Defended] = {}
        self._calibrated: dict[tuple[Any, ...], list[float]] = {}
        self._given: dict[Part, Any] = {}
        self._given_data: dict[tuple[str, str], Slice] = {}
        self.stand_ins: dict[str, str] = {}  # what stood in for what; raises warning 16

    def give_data(self, name: str, split: str, sample: Slice) -> None:
        """Data that are already in memory, under the name that cells use."""
        self._given_data[(name, split)] = sample

    def forget(self, spec: DataSpec) -> None:
        """Drops what was made from an earlier version of given data."""
        self._slices.pop(spec, None)
        self._targets = {at: made for at, made in self._targets.items() if at[1].name != spec.name}

    def give_target(self, part: Part, data: DataSpec, target: ModuleTarget, card: Card) -> None:
        """A network that is already in memory, under the name that cells use."""
        self._targets[(part, data._replace(split="test", count=1))] = (target, card)

    def give_defense(self, part: Part, built: Purifier | Detector) -> None:
        """A defense that is already in memory, under the name that cells use."""
        self._given[part] = built

    def join(self, cell: Cell) -> Joined:
        defended = self.defended(cell)
        surrogate = None if cell.surrogate is None else self.target(cell.surrogate, cell.data)[0]
        made_elsewhere = cell.attack is None or cell.attack.name.startswith(GIVEN)
        return Joined(defended, surrogate, None if made_elsewhere else self.attack(cell))

    def slice(self, spec: DataSpec) -> Slice:
        if spec not in self._slices:
            self._slices[spec] = self._given_slice(spec) if spec.name.startswith(GIVEN) else load_data(spec)
        return self._slices[spec]

    def first(self, spec: DataSpec, count: int) -> Slice:
        """The first `count` samples of a split, or all where there are fewer."""
        if spec.name.startswith(GIVEN):
            return _head(self.slice(spec._replace(count=0)), count)
        try:
            return self.slice(spec._replace(count=count))
        except BadArgument:
            return self.slice(spec._replace(count=0))

    def _given_slice(self, spec: DataSpec) -> Slice:
        given = self._given_data.get((spec.name, spec.split))
        if given is None:
            raise BadArgument(
                f"the {spec.split} images of {spec.name!r} are not there: a detector learns and is calibrated on clean "
                "images that are in no other set; give them with calibration=IMAGES."
            )
        return _head(given, spec.count or len(given.ids))

    def target(self, part: Part, data: DataSpec) -> tuple[ModuleTarget, Card]:
        """A network by reference as a target, with its card; a user's module takes classes and shape of the data."""
        at = (part, data._replace(split="test", count=1))
        if at not in self._targets:
            sample = self.slice(data)
            if detector_target.is_detector(part):
                self._targets[at] = self._detector(part, data)
                return self._targets[at]
            loaded, given = named(part, data, sample, self.first, self._found)
            channels, height, width = sample.images_u8.shape[1:]
            shape = loaded.image_shape or (int(channels), int(height), int(width))
            network = loaded.network.to(self.device)
            classes = loaded.classes or sample.classes
            if loaded.card.stands_in_for is not None:
                self.stand_ins[loaded.card.stands_in_for] = str(loaded.card.args.get("model", part.name))
            decision = given.get("decision", loaded.decision)
            stochastic = bool(given.get("stochastic", False))
            target = ModuleTarget(
                network, classes, shape, decision=decision, mean=loaded.mean, std=loaded.std, stochastic=stochastic
            )
            self._targets[at] = (target, loaded.card)
        return self._targets[at]

    def detector_cell(self, part: Part, data: DataSpec) -> Cell:
        """The cell in which a detector that is a target stands as a defense, on real images of the same size."""
        side = int(self.slice(data).images_u8.shape[-1])
        weights = dict(part.args).get("weights")
        if weights is None and data.name == detector_target.FAKES:
            weights = {**registry.defaults("data", data.name), **dict(data.args)}["weights"]
        ref = latent_parts.generator_name(weights, data, side)
        named_part = part._replace(args=tuple(sorted({**dict(part.args), "weights": ref}.items())))
        return detector_target.own_cell(named_part, data, side, self.network(ref)[1].args)

    def _detector(self, part: Part, data: DataSpec) -> tuple[ModuleTarget, Card]:
        cell = self.detector_cell(part, data)
        (own,) = cell.defense
        alarm = self._alarm(self.plugin("defenses", own, cell), own, cell)
        hashes = {ref: self.network(ref)[1].file_hash for ref in self._references(own, cell)}
        hashes |= self._hashes_of_needs("defenses", own)
        channels, height, width = self.slice(data).images_u8.shape[1:]
        made: tuple[ModuleTarget, Card] = detector_target.target_of(
            own, cell, alarm, (int(channels), int(height), int(width)), hashes
        )
        return made

    def defended(self, cell: Cell) -> Defended:
        at = _pipeline(cell)
        if at not in self._defended:
            target, _ = self.target(cell.target, cell.data)
            defended = Defended(target)
            for part in cell.defense:
                built = self._given.get(part) or self.plugin("defenses", part, cell)
                if isinstance(built, Purifier):
                    defended = defended._replace(purifiers=(*defended.purifiers, built))
                elif isinstance(built, Detector):
                    defended = defended._replace(alarms=(*defended.alarms, self._alarm(built, part, cell)))
                else:
                    raise BadArgument(
                        f"{part.name} is neither a purifier nor a detector; a hardening is trained by a recipe and "
                        "named as a target."
                    )
            self._defended[at] = defended
        return self._defended[at]

    def calibration_alarm(self, cell: Cell) -> list[float]:
        """The pipeline's alarm on each clean calibration image: where thresholds for other false alarms come from."""
        at = _pipeline(cell)
        alarms = self.defended(cell).alarms
        if at not in self._calibrated and alarms:
            clean = self._calibration_slice(cell, min(a.fpr for a in alarms))
            levels = []
            with torch.no_grad():
                for some in torch.arange(len(clean.ids)).split(64):
                    rng = SampleRng.for_samples(cell.seed, "defense", [clean.ids[int(i)] for i in some])
                    shown = clean.images[some].to(self.device)
                    each = [(a.detector.score(shown, rng) - a.threshold) / a.sigma for a in alarms]
                    levels += torch.stack(each).amax(0).double().cpu().tolist()
            self._calibrated[at] = levels
        return self._calibrated.get(at, [])

    def attack(self, cell: Cell) -> Attack:
        assert cell.attack is not None
        budget = None if cell.budget is None else self.budget(cell.budget, cell.data, cell.attack)
        return self.plugin("attacks", cell.attack, cell, budget=budget)

    def budget(self, spec: BudgetSpec, data: DataSpec, attack: Part) -> Budget:
        """A budget; Lpips is measured through another network than the judge's unless the attack names one."""
        if spec.name != "Lpips":
            require_reachable(spec, self.slice(data).images_u8.shape[1:])
            return make_budget(spec)
        return make_budget(spec, self.perceptual(self.attack_net(data, attack)))

    def goal(self, cell: Cell, sample: Slice, ids_at: Tensor, defended: Defended) -> LogitGoal:
        """The goal of the samples at these positions of the slice."""
        args = dict(cell.goal.args)
        objective = args.pop("objective", "margin")
        wanted = self.wanted(cell, sample, ids_at, len(defended.target.classes))
        args.pop("wanted", None)
        if args:
            raise BadArgument(f"the goal {cell.goal.name} takes objective and wanted, got {', '.join(args)}.")
        labels = sample.labels[ids_at].to(self.device)
        return make_goal(
            cell.goal.name,
            labels,
            None if wanted is None else wanted.to(self.device),
            decision=defended.target.decision,
            classes=len(defended.target.classes),
            objective=objective,
        )

    def wanted(self, cell: Cell, sample: Slice, at: Tensor, classes: int) -> Tensor | None:
        """The wanted classes of a targeted goal; None for the others."""
        if cell.goal.name not in ("targeted", "impersonate"):
            return None
        return wanted_of(cell, sample, at, classes, lambda: self._asked(cell)[0])

    def _asked(self, cell: Cell) -> tuple[ModuleTarget, Card]:
        """The network that the attack of a cell is made on."""
        surrogate = cell.surrogate if cell.knowledge == "transfer" else None
        return self.target(surrogate or cell.target, cell.data)

    def plugin(self, kind: str, part: Part, cell: Cell, **given: Any) -> Any:
        """A plug-in built from a part, its needs filled."""
        args = {k: v for k, v in part.args if k not in joined_args(kind)}
        budget = {"budget": given["budget"]} if given.get("budget") is not None else {}
        built = registry.create(kind, part.name, **args, **budget)
        needs = getattr(type(built), "needs", ())
        filled = {need: self._need(need, built, part, cell) for need in needs}
        known = {f.name for f in fields(built)}
        assert set(needs) <= known, f"{part.name} names needs that are not fields: {set(needs) - known}"
        return replace(built, **filled) if filled else built

    def network(self, ref: str) -> tuple[nn.Module, Card]:
        if ref not in self._networks:
            network, card = zoo.zoo_load(self._found(ref))
            for parameter in network.parameters():
                parameter.requires_grad_(False)
            self._networks[ref] = (network.to(self.device), card)
        return self._networks[ref]

    def _found(self, ref: str) -> str:
        """A reference that the zoo understands: what a recipe stands for is trained where it is not there yet."""
        return str(checkpoint_of(ref, device=str(self.device), say=self._tell)) if ref.startswith(PREFIX) else ref

    def perceptual(self, net: str) -> LPIPS:
        if net not in self._metrics:
            self._metrics[net] = LPIPS(net).to(self.device)
            if net == "embedded":
                self.stand_ins["the published LPIPS backbone"] = "perceptual_embedded"
        return self._metrics[net]

    def judge_net(self, data: DataSpec) -> str:
        """The backbone of the judge's LPIPS: squeeze where its file is found and images are large enough."""
        chosen = default_net(int(min(self.slice(data).images_u8.shape[-2:])))
        self._tell(str(chosen))
        return chosen.net

    def attack_net(self, data: DataSpec, attack: Part) -> str:
        """What the attack names, else another than the judge's, where two are there."""
        if named_net := dict(attack.args).get("net"):
            return str(named_net)
        judge = self.judge_net(data)
        return "embedded" if judge == "squeeze" and _has("embedded") else judge

    def oracle(self) -> Any:
        """What reads persons from portraits, for judges alone; nothing here hands it to an attack or a defense."""
        if self._oracle is None:
            from advgen.experiments.edits.oracle import Oracle

            self._oracle = Oracle()
        return self._oracle

    def kept(self, at: Any, make: Callable[[], Any]) -> Any:
        """What was made for this key before, or is made now."""
        if at not in self._kept:
            self._kept[at] = make()
        return self._kept[at]

    def _tell(self, sentence: str) -> None:
        if sentence not in self._said:
            self._said.add(sentence)
            self._say(sentence)

    def training_seed(self, cell: Cell) -> int:
        """The seed of the trained defense under study; -1 where there is none, or several differ."""
        seeds = {self.network(ref)[1].seed for part in cell.defense for ref in self._references(part, cell)}
        return seeds.pop() if len(seeds) == 1 else -1

    def hashes(self, cell: Cell) -> dict[str, str]:
        """Content hashes of all that a cell names: what its keys rest on beside names and numbers."""
        found = {"data": self.slice(cell.data).hash, "target": self.target(cell.target, cell.data)[1].file_hash}
        if cell.surrogate is not None:
            found["surrogate"] = self.target(cell.surrogate, cell.data)[1].file_hash
        for part in cell.defense:
            for ref in self._references(part, cell):
                found[f"defense:{part.name}:{ref}"] = self.network(ref)[1].file_hash
            found |= self._hashes_of_needs("defenses", part)
        if cell.attack is not None:
            for ref in self._references(cell.attack, cell):
                found[f"attack:{ref}"] = self.network(ref)[1].file_hash
            found |= self._hashes_of_needs("attacks", cell.attack)
        return found

    def _hashes_of_needs(self, kind: str, part: Part) -> dict[str, str]:
        """Of what a plug-in is given beside networks with a card: a CLIP, files of directions."""
        if part.name.startswith(GIVEN):
            return {}
        needs, args = registry.describe(kind, part.name).literals.get("needs", ()), dict(part.args)
        found = {}
        if "image_text_encoder" in needs:
            where = "attack" if kind == "attacks" else f"defense:{part.name}"
            found[f"{where}:clip"] = self.clip(args.get("clip")).hash
        if "directions" in needs:
            found |= latent_parts.direction_hashes(str(args.get("along", "")))
        return found

    def clip(self, model: Any) -> Any:
        """The encoder of texts and images of this name; the shipped one unless given, which is said to stand in."""
        name = str(model or clip_target.SHIPPED)
        if name not in self._clips:
            self._clips[name] = latent_parts.clip(name)
        if name == clip_target.SHIPPED:
            self.stand_ins["published CLIP"] = name
        return self._clips[name]

    def _references(self, part: Part, cell: Cell) -> list[str]:
        if part.name.startswith(GIVEN):
            return []
        kind = "attacks" if part == cell.attack else "defenses"
        needs = registry.describe(kind, part.name).literals.get("needs", ())
        if "autoencoder" in needs or (
            dict(part.args).get("through", "purify/dae") == "purify/dae" and "purifier" in needs
        ):
            return [self._autoencoder_ref(dict(part.args).get("weights"), cell.data)]
        if "generator" in needs or "fakes" in needs:
            args = dict(part.args)
            ref = self._generator_ref(args.get("weights"), cell.data)
            begins = "inverter" in needs and latent_parts.encodes(args.get("inversion", latent_parts.HYBRID))
            return [ref, belonging(ref)] if begins else [ref]
        return []

    def _need(self, need: str, built: Any, part: Part, cell: Cell) -> Any:
        if need == "autoencoder":
            return self.network(self._autoencoder_ref(getattr(built, "weights", None), cell.data))[0]
        if need == "perceptual":
            return self.perceptual(str(getattr(built, "net", self.judge_net(cell.data))))
        if need == "generator":
            return self.generator(self._generator_ref(getattr(built, "weights", None), cell.data))
        if need == "fakes":
            ref = self._generator_ref(built.weights, cell.data)
            return latent_parts.samples(self.generator(ref), int(built.count), cell.seed, purpose="fakes")
        if need == "image_text_encoder":
            return self.clip(built.clip)
        if need == "directions":
            return latent_parts.directions(built.along, self.generator(self._generator_ref(built.weights, cell.data)))
        if need == "gallery":
            return gallery_of(*self._asked(cell)).to(self.device)
        if need == "inverter":
            return self._inverter(built, part, cell.data)
        if need in ("classifier", "target"):
            return self.target(cell.target, cell.data)[0]
        if need == "purifier":
            weights = getattr(built, "weights", None)
            name = str(getattr(built, "through", "purify/dae"))
            through = Part.of(name, {"weights": weights} if weights is not None else {})
            return self.plugin("defenses", through, cell)
        raise BadArgument(f"{part.name} needs a {need.replace('_', ' ')}, which this version cannot join to a cell.")

    def generator(self, ref: str) -> nn.Module:
        if ref not in self._generators:
            self._generators[ref] = latent_parts.generator(ref, self.device)
        return self._generators[ref]

    def _generator_ref(self, weights: Any, data: DataSpec) -> str:
        return latent_parts.generator_name(weights, data, int(self.slice(data).images_u8.shape[-1]))

    def _inverter(self, built: Any, part: Part, data: DataSpec) -> Any:
        ref, method = self._generator_ref(built.weights, data), str(built.inversion)
        encoder = self.network(belonging(ref))[0] if latent_parts.encodes(method) else None
        if method == "encoder" and isinstance(built, Detector):
            return latent_parts.OnePass(encoder, self.generator(ref))
        at = (ref, method, built.inversion_steps, self.attack_net(data, part))
        if at not in self._inverters:
            perceptual = self.perceptual(at[-1])
            made = latent_parts.inverter(method, built.inversion_steps, self.generator(ref), encoder, perceptual)
            self._inverters[at] = Remembering(made)
        return self._inverters[at]

    def _autoencoder_ref(self, weights: Any, data: DataSpec) -> str:
        """The named checkpoint, or the shipped autoencoder that was trained on this data set at this size."""
        if weights is not None:
            return str(weights)
        side = int(self.slice(data).images_u8.shape[-1])
        for name in zoo.shipped():
            card = checkpoints.read_card(checkpoints.places()[0] / f"{name}.safetensors")
            if card.kind == "autoencoder" and card.args.get("data") == data.name:
                shape = zoo.Network.from_args(card.args, f"the card of {name}").image_shape
                if shape[-1] == side:
                    return name
        raise MissingFile(
            f"no autoencoder is shipped for {data.name} at {side} pixels; train one with "
            f"`advgen train dae --arg data={data.name}` and name it with weights=PATH."
        )

    def _calibration_slice(self, cell: Cell, fpr: float) -> Slice:
        needed = max(CALIBRATION_COUNT, math.ceil(EXPECTED_FALSE_ALARMS / fpr))
        return self.first(cell.data._replace(split="calibration"), needed)

    def _alarm(self, detector: Detector, part: Part, cell: Cell) -> Any:
        fpr = float(dict(part.args).get("fpr", FPR))
        learn = self.first(cell.data._replace(split="train"), int(getattr(detector, "count", FIT_COUNT)))
        clean = self._calibration_slice(cell, fpr)
        rng = SampleRng.for_samples(cell.seed, "defense", learn.ids)
        fitted = detector.fit(learn.images.to(self.device), rng=rng)
        return calibrate(
            fitted,
            clean.images.to(self.device),
            fpr=fpr,
            rng=SampleRng.for_samples(cell.seed, "defense", clean.ids),
            slice_hash=f"{clean.hash}[:{len(clean.ids)}]",
        )


def _pipeline(cell: Cell) -> tuple[Any, ...]:
    """What a defended target depends on."""
    return cell.target, cell.defense, cell.data._replace(count=0), cell.seed


def _head(sample: Slice, count: int) -> Slice:
    """The first `count` samples, or all where there are fewer."""
    return sample._replace(
        ids=sample.ids[:count],
        images_u8=sample.images_u8[:count],
        labels=sample.labels[:count],
        table=sample.table.slice(0, count),
    )


def _has(net: str) -> bool:
    """Whether the weights of a perceptual backbone are on this machine."""
    try:
        checkpoints.find(*NETS[net].files)
    except MissingFile:
        return False
    return True
