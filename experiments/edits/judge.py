"""The independent judge of edits: saved bytes before and after, what was asked for, and what became of it.

Its networks are seen by no method: trained apart, on other persons, with another seed and architecture. Nothing outside
of experiments can import it. Every rate stands beside the judge's own error at the same question.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, final

import numpy as np
import torch
from torch import Tensor, nn

from advgen.core.errors import BadArgument
from advgen.core.images import to_float
from advgen.core.perceptual import LPIPS, default_net
from advgen.core.specs import Card
from advgen.experiments import avatars as renderer
from advgen.experiments.avatars import Avatar
from advgen.experiments.edits import errors, reading
from advgen.experiments.edits.attributes import KEPT, Asked, Change, for_each, true_counterfactual, truth
from advgen.experiments.edits.lines import Line, as_text, write_csv
from advgen.experiments.edits.portraits import SIZE
from advgen.experiments.edits.verdicts import Verdicts, holds, judged
from advgen.experiments.stats import Estimate, bootstrap_mean, rate

ATTRIBUTES = "judge_attributes_64"
IDENTITY = "judge_identity_64"
_BATCH = 64
_PAIRS = 40  # of pictures in one group, at most, whose distance is taken
_MARGIN = 3  # pixels a side of the square in which a pixel counts as near a true change


class Distances(NamedTuple):
    """LPIPS (N,) each; the last four need the avatars."""

    to_original: np.ndarray
    to_counterfactual: np.ndarray | None  # of the edit to the renderer's true one
    outside: np.ndarray | None  # to the original, where the renderer changes nothing
    of_original: np.ndarray | None  # of the given original to the drawn one: what an inversion alone costs
    of_change: np.ndarray | None  # of the true counterfactual to the drawn original: how large the change is


class EditReport(NamedTuple):
    """What became of N edits; `lines` is the table."""

    verdicts: Verdicts
    similarity: np.ndarray  # (N,) cosine of the person before and after
    kept: np.ndarray  # (N,) bool: at least the threshold
    distances: Distances
    fid: float | None  # of the edited pictures to the real ones given
    lines: tuple[Line, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        return as_text(self.lines, self.notes)

    def to_csv(self, path: str | Path) -> None:
        write_csv(self.lines, path)


class PromptReport(NamedTuple):
    """What N pictures made from words show; `lines` is the table."""

    present: np.ndarray  # (N,) bool: all that was asked for
    by_prompt: tuple[tuple[str, float, int], ...]  # prompt, share of its pictures that show all, pictures
    diversity: Estimate  # LPIPS of two pictures of one prompt, resampled by prompt
    lines: tuple[Line, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        return as_text(self.lines, self.notes)

    def to_csv(self, path: str | Path) -> None:
        write_csv(self.lines, path)


@final
class EditJudge:
    """Judges portraits of 64 pixels as saved: uint8 (N, 3, 64, 64).

    attributes, identity: shipped networks by name, or a file. net: backbone of LPIPS, None = squeeze where its file is
    found, else embedded (said in the report).
    """

    def __init__(
        self, *, attributes: str = ATTRIBUTES, identity: str = IDENTITY, net: str | None = None, device: str = "cpu"
    ) -> None:
        from advgen.zoo.load import zoo_load

        network, card = zoo_load(attributes)
        self._eyes, self.errors = network.to(device), card.metrics
        self._identity = identity
        self.perceptual = LPIPS(net or default_net(SIZE).net).to(device)
        self._device = device

    @cached_property
    def _memory(self) -> tuple[nn.Module, Card]:
        # Text to image asks for no person.
        from advgen.zoo.load import zoo_load

        network, card = zoo_load(self._identity)
        return network.to(self._device), card

    @property
    def identity_errors(self) -> Mapping[str, Any]:
        """The rates of genuine and impostor pairs, as measured for the card."""
        return self._memory[1].metrics

    @property
    def threshold(self) -> float:
        """The similarity from which two pictures are of one person."""
        return float(self.identity_errors["threshold"])

    def read(self, images_u8: Tensor) -> reading.Reading:
        """Every attribute with its probabilities, the person's numbers, the face's points."""
        return reading.read(self._eyes, images_u8)

    def similarity(self, images_u8: Tensor, others_u8: Tensor) -> np.ndarray:
        """(N,) cosines: the same person from `threshold` on."""
        network, _ = self._memory
        return (errors.embed(network, images_u8) * errors.embed(network, others_u8)).sum(1).numpy()

    def edits(
        self,
        originals_u8: Tensor,
        edited_u8: Tensor,
        asked: Asked,
        *,
        avatars: Sequence[Avatar] | None = None,
        real_u8: Tensor | None = None,
        kept: Sequence[str] = KEPT,
    ) -> EditReport:
        """Compares edited pictures with their originals, the pictures that went into the edit (inversions, say).

        asked: one change for all, several for all, or several for each image. avatars: what the originals show, where
        it is known: gives true counterfactuals, and attributes that cannot be seen are left out. real_u8: what FID is
        taken to; None = the counterfactuals, where there are avatars. kept: what must be as before.

        Raises:
            BadArgument: not as many originals, edits, changes and avatars; not uint8 portraits of 64 pixels.
            UnknownName: a change of an attribute or value that there is not.
        """
        n = len(edited_u8)
        self._check(originals_u8, edited_u8, avatars)
        rows = for_each(asked, n)
        true = None if avatars is None else _true(avatars, rows)
        verdicts = judged(
            self.read(originals_u8), self.read(edited_u8), rows, truths=None if true is None else true.values, kept=kept
        )
        similarity = self.similarity(originals_u8, edited_u8)
        distances = self._distances(originals_u8, edited_u8, true)
        if real_u8 is None and true is not None:
            real_u8 = true.counterfactuals
        fid = _fid(real_u8, edited_u8, originals_u8)
        people = None if avatars is None else [avatar.identity.number for avatar in avatars]
        value = fid[0].found.value if fid else None
        report = EditReport(verdicts, similarity, similarity >= self.threshold, distances, value, (), ())
        notes = [f"distances: {self.perceptual.definition}"]
        if verdicts.already.any():
            notes.append(f"{int(verdicts.already.sum())} of {n} originals showed it before: left out of the rates.")
        lines = (*self._edit_lines(report, rows, kept, people), *fid)
        return report._replace(lines=lines, notes=tuple(notes))

    def prompts(
        self,
        images_u8: Tensor,
        asked: Sequence[Sequence[Change]],
        *,
        random_u8: Tensor | None = None,
        reference: float | None = None,
    ) -> PromptReport:
        """Text to image: whether each picture shows all that its prompt asked for; equal rows are one prompt.

        random_u8: pictures made from no words, for the base rate of each prompt. reference: LPIPS between random
        pictures that have the attributes, which diversity is divided by.

        Raises:
            BadArgument: not one row of changes an image; not uint8 portraits of 64 pixels.
        """
        rows = for_each(asked, len(images_u8))
        found = self.read(images_u8)
        present = holds(found, rows)
        names = [", ".join(map(str, row)) for row in rows]
        by_prompt = tuple(
            (name, float(present[[at == name for at in names]].mean()), names.count(name))
            for name in dict.fromkeys(names)
        )
        diversity = self.diversity(images_u8, names)
        lines = [Line("all asked-for attributes present", rate(present), self._reads({c for row in rows for c in row}))]
        for attribute in dict.fromkeys(c.attribute for row in rows for c in row):
            picked = [(i, c) for i, row in enumerate(rows) for c in row if c.attribute == attribute]
            some = holds(_taken(found, [i for i, _ in picked]), [(c,) for _, c in picked])
            lines.append(Line(f"  {attribute}", rate(some), self._reads({c for _, c in picked})))
        if random_u8 is not None:
            seen = self.read(random_u8)
            each = [holds(seen, [row] * len(random_u8)) for row in dict.fromkeys(rows)]
            lines.append(Line("  by chance", bootstrap_mean([float(hits.mean()) for hits in each])))
        lines.append(Line("LPIPS between pictures of one prompt", diversity))
        if reference is not None and diversity.value is not None:
            scaled = [None if x is None else x / reference for x in diversity[:3]]
            lines.append(Line("  as a share of random ones", diversity._replace(**dict(zip(Estimate._fields, scaled)))))
        notes = (f"distances: {self.perceptual.definition}",)
        return PromptReport(present, by_prompt, diversity, tuple(lines), notes)

    def diversity(self, images_u8: Tensor, groups: Sequence[object], *, seed: int = 0) -> Estimate:
        """Mean LPIPS of two pictures of one group (a prompt, an original under several z), resampled by group."""
        first, second, group = [], [], []
        rng = np.random.default_rng(seed)
        for name in dict.fromkeys(groups):
            members = [i for i, at in enumerate(groups) if at == name]
            every = [(i, j) for k, i in enumerate(members) for j in members[k + 1 :]]
            some = every if len(every) <= _PAIRS else [every[k] for k in rng.choice(len(every), _PAIRS, replace=False)]
            first += [i for i, _ in some]
            second += [j for _, j in some]
            group += [str(name)] * len(some)
        if not first:
            return bootstrap_mean([])
        return bootstrap_mean(self._lpips(images_u8[first], images_u8[second]), group)

    def _check(self, originals_u8: Tensor, edited_u8: Tensor, avatars: Sequence[Avatar] | None) -> None:
        reading.check(originals_u8)
        reading.check(edited_u8)
        counts = [len(originals_u8), len(edited_u8), *([] if avatars is None else [len(avatars)])]
        if len(set(counts)) > 1 or not counts[0]:
            raise BadArgument(f"an original, an edit and an avatar belong together, got {', '.join(map(str, counts))}.")

    @torch.no_grad()
    def _lpips(self, one_u8: Tensor, other_u8: Tensor) -> np.ndarray:
        pair = (to_float(x.to(self._device)) for x in (one_u8, other_u8))
        return self.perceptual(*pair, batch_size=_BATCH).cpu().numpy().astype(np.float64)

    def _distances(self, originals_u8: Tensor, edited_u8: Tensor, true: "_True | None") -> Distances:
        moved = self._lpips(edited_u8, originals_u8)
        if true is None:
            return Distances(moved, None, None, None, None)
        # What may change is taken from the original, so that only the rest can differ from it.
        elsewhere = torch.where(true.near[:, None], originals_u8, edited_u8)
        return Distances(
            moved,
            self._lpips(edited_u8, true.counterfactuals),
            self._lpips(elsewhere, originals_u8),
            self._lpips(originals_u8, true.originals),
            self._lpips(true.counterfactuals, true.originals),
        )

    def _edit_lines(
        self, report: EditReport, rows: Sequence[Sequence[Change]], kept: Sequence[str], people: list[int] | None
    ) -> list[Line]:
        verdicts, open_ = report.verdicts, ~report.verdicts.already
        asked = {change for row in rows for change in row}
        lines = [
            Line("asked-for change made", rate(verdicts.asked_for[open_]), self._reads(asked)),
            Line("exactly that change and no other", rate(verdicts.exact[open_]), self._exact_error(asked)),
            Line("identity kept at 1% FAR", rate(report.kept), self._identity_error()),
            Line(
                "exactly that change, identity kept",
                rate((verdicts.exact & report.kept)[open_]),
                "as the two above",
            ),
        ]
        for k, name in enumerate(kept):
            hits = np.array([name in row for row in verdicts.others])
            compared = verdicts.compared[:, k]
            if compared.any():
                lines.append(Line(f"  also changed: {name}", rate(hits[compared]), self._reads_one(name)))
        groups = [] if people is None else [people]
        told = {
            "LPIPS to the original": report.distances.to_original,
            "LPIPS to the true counterfactual": report.distances.to_counterfactual,
            "LPIPS outside the part": report.distances.outside,
            "  (original given to original drawn)": report.distances.of_original,
            "  (true counterfactual to original)": report.distances.of_change,
        }
        for name, values in told.items():
            if values is not None:
                lines.append(Line(name, bootstrap_mean(values, *groups)))
        return lines

    def _reads(self, asked: set[Change]) -> str:
        return "; ".join(self._reads_one(name) for name in sorted({c.attribute for c in asked}))

    def _reads_one(self, name: str) -> str:
        told = [
            f"{_percent(self.errors[f'accuracy {of}'][name]['value'])} {said}"
            for of, said in (("as drawn", "as drawn"), ("closely", "inverted"), ("inverted", "by the encoder alone"))
        ]
        return f"reads {name} right: {', '.join(told)}"

    def _exact_error(self, asked: set[Change]) -> str:
        measured = self.errors["true counterfactuals"]
        names = sorted({c.attribute for c in asked} & set(measured))
        told = [
            f"{name}: {_percent(measured[name]['exact as drawn']['value'])} as drawn, "
            f"{_percent(measured[name]['exact inverted']['value'])} by the encoder"
            for name in names
        ]
        steady = self.errors["two noises"]["nothing changed"]["value"]
        told.append(f"of generated pictures in two noises {_percent(steady)} are read alike")
        return "says so of true counterfactuals: " + "; ".join(told)

    def _identity_error(self) -> str:
        e = self.identity_errors
        return (
            f"accepts genuine pairs: {_percent(e['genuine pairs accepted as drawn']['value'])} as drawn, "
            f"{_percent(e['genuine pairs accepted inverted']['value'])} inverted; impostors: "
            f"{_percent(e['impostor pairs accepted as drawn']['value'])}, "
            f"{_percent(e['impostor pairs accepted inverted']['value'])}; generated pictures in two noises: "
            f"{_percent(e['two noises accepted']['value'])}"
        )


class _True(NamedTuple):
    originals: Tensor  # (N, 3, H, W) uint8
    counterfactuals: Tensor
    near: Tensor  # (N, H, W) bool: where they differ, and the pixels around
    values: tuple[np.ndarray, np.ndarray]  # (N, A) each


def _true(some: Sequence[Avatar], rows: Sequence[Sequence[Change]]) -> _True:
    changed = [true_counterfactual(avatar, row) for avatar, row in zip(some, rows)]
    images, values = [], []
    for part in (list(some), changed):
        drawn, parts = renderer.render_batch(part, SIZE)
        images.append(torch.from_numpy(drawn).permute(0, 3, 1, 2).contiguous())
        values.append(np.array([list(truth(avatar, one).values()) for avatar, one in zip(part, parts)]))
    differ = (images[0] != images[1]).any(1, keepdim=True).float()
    near = torch.nn.functional.max_pool2d(differ, _MARGIN, 1, _MARGIN // 2)[:, 0] > 0
    return _True(images[0], images[1], near, (values[0], values[1]))


def _fid(real_u8: Tensor | None, edited_u8: Tensor, originals_u8: Tensor) -> list[Line]:
    """FID of the edits to real pictures, and of the originals, which is what the edit began with."""
    if real_u8 is None or min(len(real_u8), len(edited_u8)) < 2:
        return []
    from advgen.metrics.fid import FidProbe

    probe = FidProbe(real_u8)
    how = f"to {probe.n_real} pictures; {probe.features.name} features, {probe.dim} numbers; compare equal n only"
    both = (("FID of the edited set", edited_u8), ("  (of the originals given)", originals_u8))
    return [Line(name, Estimate(probe.of(u8), None, None, len(u8), len(u8), None), how) for name, u8 in both]


def _taken(found: reading.Reading, rows: list[int]) -> reading.Reading:
    return reading.Reading(
        {name: part[rows] for name, part in found.probabilities.items()}, found.parameters[rows], found.points[rows]
    )


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}%"
