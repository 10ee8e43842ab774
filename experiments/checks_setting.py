"""Warnings about what surrounds the attacks, targets, data, defenses, detectors, judging networks: 8-11 and 13-21."""

import json
from math import isfinite

import numpy as np
from scipy.stats import norm

from advgen.experiments.evidence import (
    Cells,
    CheckWarning,
    Count,
    Evidence,
    NotRun,
    Suspicion,
    certain,
    count,
    fewer_than,
    mean,
    more_than,
    shown,
    strongest_suspicion,
)

ZERO_GRADIENTS = 0.05  # of the samples
SATURATED = 0.10  # of the samples
OUTSIDE = 0.05  # of the images may leave a bound that another network measures
FAR = 0.10  # of the inversions

Found = CheckWarning | NotRun | None


def check_08_gradients_or_logits(cells: Cells, evidence: Evidence) -> Found:
    """Binomial on zero gradients (5%) and saturated logits (10%); softmax and non-finite gradients at their first
    sight.
    """
    gathered = (
        evidence.zero_gradients,
        evidence.nonfinite_gradients,
        evidence.saturated_logits,
        evidence.softmax_logits,
    )
    if all(g is None for g in gathered):
        return NotRun("it needs gradients and logits at the start of the attacks.")
    found = [
        Suspicion(0.0, f"The outputs of {target} lie in [0, 1] and sum to 1: softmax, not logits.", (target,))
        for target, is_softmax in (evidence.softmax_logits or {}).items()
        if is_softmax
    ]
    found += [
        Suspicion(0.0, f"Gradients are not finite on {shown(bad)} samples.", (key,))
        for key, bad in (evidence.nonfinite_gradients or {}).items()
        if bad.hits
    ]
    for key, zero in (evidence.zero_gradients or {}).items():
        found.append(
            Suspicion(more_than(ZERO_GRADIENTS, zero), f"Gradients are zero on {shown(zero)} samples.", (key,))
        )
    for target, full in (evidence.saturated_logits or {}).items():
        detail = f"The logits of {target} saturate float32 softmax on {shown(full)} samples."
        found.append(Suspicion(more_than(SATURATED, full), detail, (target,)))
    return strongest_suspicion(8, "Gradients vanish or logits are not logits", found)


def check_09_random_without_eot(cells: Cells, evidence: Evidence) -> Found:
    """The pipeline answers one image in two ways, and no white-box attack on it averages over draws."""
    if evidence.answers_differ is None:
        return NotRun("no pipeline was asked twice.")
    table, found = cells.table, []
    pipeline = np.where(table["defense"] == "", table["target"], table["target"] + " + " + table["defense"])
    for name, differs in evidence.answers_differ.items():
        attacks = np.flatnonzero((pipeline == name) & table["white_box"] & ~table["unbounded"])
        if differs and len(attacks) and not any(_draws(table["attack_args"].iloc[c]) > 1 for c in attacks):
            found.append(
                (f"{name} answers twice differently, and no attack averages over its draws.", cells.keys(*attacks))
            )
    return certain(9, "The target is random and no EOT was used", found)


def check_10_below_plain_baseline(cells: Cells, evidence: Evidence) -> Found:
    """Binomial: the undefended target is right less often than the data set's plain baseline."""
    if evidence.plain_baseline is None:
        return NotRun("it needs the accuracy of each data set's plain baseline.")
    table, found = cells.table, []
    for group in cells.groups(["data", "split", "target", "training_seed"], table["defense"] == ""):
        data = table["data"].iloc[group[0]]
        if data in evidence.plain_baseline:
            baseline, right = evidence.plain_baseline[data], count(_clean(cells, group))
            target = table["target"].iloc[group[0]]
            detail = f"{target} is right on {shown(right)} of {data}, a plain baseline on {baseline:.0%}."
            found.append(Suspicion(fewer_than(baseline, right), detail, cells.keys(group[0])))
    return strongest_suspicion(10, "Clean accuracy is under the plain baseline", found)


def check_11_interval_too_wide(_: Cells, evidence: Evidence) -> Found:
    """The interval of a claimed difference is wider than the difference."""
    if evidence.verdicts is None:
        return NotRun("the study makes no claims.")
    found = []
    for verdict in evidence.verdicts:
        if verdict.claim.versus is None or verdict.interval is None or verdict.value is None:
            continue
        width, difference = (
            verdict.interval[1] - verdict.interval[0],
            max(abs(v - verdict.claim.nothing) for v in (verdict.value, verdict.claim.margin)),
        )
        if width > difference or not isfinite(width):
            what = "ratio" if verdict.claim.nothing else "difference"
            detail = f"“{verdict.claim.statement}”: a {what} of {verdict.value:.3g} with an interval {width:.3g} wide."
            found.append((detail, (verdict.claim.statement,)))
    return certain(11, "The interval is wider than the difference claimed", found)


def check_13_shared_images(_: Cells, evidence: Evidence) -> Found:
    """An image is in both train and test."""
    if evidence.shared_images is None:
        return NotRun("train and test were not compared.")
    found = [
        (f"{data}: {n} images are in both train and test.", (data,)) for data, n in evidence.shared_images.items() if n
    ]
    return certain(13, "Train and test share an image", found)


def check_14_calibrated_on_test(_: Cells, evidence: Evidence) -> Found:
    """A detector's threshold comes from the slice that it is tested on."""
    if evidence.calibrations is None:
        return NotRun("no detector was calibrated.")
    found = [
        (f"{c.detector} was calibrated on slice {c.calibrated_on[:12]}, which it is tested on.", (c.detector,))
        for c in evidence.calibrations
        if c.calibrated_on == c.tested_on
    ]
    return certain(14, "A detector was calibrated on its test images", found)


def check_15_bound_of_another_network(cells: Cells, evidence: Evidence) -> Found:
    """Binomial: more than 5% of the images leave a perceptual bound in another network's eyes; or the judge has the
    attack's eyes.
    """
    table, inside = cells.table, cells.matrix("inside")
    bounded = np.flatnonzero(table["attacked"] & (table["budget"] == "Lpips"))
    if len(bounded) == 0 or evidence.nets is None:
        return NotRun("no attack was bounded by a perceptual network, or it is not known which one.")
    found = []
    for cell in bounded:
        nets = evidence.nets.get(str(table["cell_key"].iloc[cell]))
        if nets is None:
            continue
        if nets.attack == nets.judge:
            detail = f"{cells.name(cell)}: attack and judge both measure with {nets.judge}, so the bound is untested."
            found.append(Suspicion(0.0, detail, cells.keys(cell)))
            continue
        within = count(inside[cell])
        outside = Count(within.n - within.hits, within.n)
        detail = (
            f"{cells.name(cell)}: bounded through {nets.attack}, {shown(outside)} images are outside by {nets.judge}."
        )
        found.append(Suspicion(more_than(OUTSIDE, outside), detail, cells.keys(cell)))
    return strongest_suspicion(15, "A bound is broken in another network's eyes", found)


def check_16_stand_ins(_: Cells, evidence: Evidence) -> Found:
    """An embedded stand-in was used where a published network is meant."""
    if evidence.stand_ins is None:
        return NotRun("it is not known which perceptual, Inception and CLIP networks were used.")
    found = [(f"{name} stands in for the published network.", (name,)) for name in evidence.stand_ins]
    return certain(16, "Embedded stand-ins were used", found)


def check_17_purifier_costs_more(cells: Cells, _: Evidence) -> Found:
    """Sign test over samples: clean answers lost to a purifier against attacked ones won back, at its best radius and
    column.
    """
    table, found = cells.table, []
    place = ["data", "split", "target", "goal"]
    attacks = list(table[["attack", "budget", "radius", "goal"]].itertuples(index=False, name=None))
    serious = (table["attacked"] & ~table["unbounded"] & ~table["noise"]).to_numpy()
    joint = cells.matrix("joint")
    alarm = ~np.isnan(cells.matrix("clean_alarm")).all(1)
    for purified in cells.groups([*place, "defense", "training_seed"], (table["defense"] != "") & ~alarm):
        line = table.iloc[purified[0]]
        same = (table[["data", "split", "target"]] == line[["data", "split", "target"]]).all(axis=1)
        bare = np.flatnonzero(same & (table["defense"] == ""))
        # the same attack on the undefended target; the first where there are several
        partner = {attacks[cell]: cell for cell in reversed(bare)}
        pairs = [(cell, partner[attacks[cell]]) for cell in purified if serious[cell] and attacks[cell] in partner]
        gains = [joint[cell] - joint[undefended] for cell, undefended in pairs]
        if len(bare) == 0 or not gains:
            continue
        best = max(gains, key=mean)
        lost = _clean(cells, bare) - _clean(cells, purified)
        detail = f"{line['defense']} costs {mean(lost):.1%} clean accuracy and wins back {mean(best):.1%} at best."
        found.append(Suspicion(cells.more(lost, best), detail, cells.keys(*purified)))
    if not found:
        return NotRun("it needs a purifier without a detector, and the same attack without it.")
    return strongest_suspicion(17, "A purifier costs more than it wins back", found)


def check_18_only_its_own_generator(_: Cells, evidence: Evidence) -> Found:
    """Every generator that a fake detector is tested on was in its training."""
    if evidence.generators is None:
        return NotRun("no fake detector was tested.")
    found = [
        (f"{name} is tested on {', '.join(sorted(g.tested))} only, which it was trained on.", (name,))
        for name, g in evidence.generators.items()
        if g.tested and g.tested <= g.trained
    ]
    return certain(18, "A fake detector knows its test generators", found)


def check_19_leak_audit(_: Cells, evidence: Evidence) -> Found:
    """Normal test: format, size, JPEG grid, border and metadata alone tell the classes apart better than chance."""
    if evidence.leak_audits is None:
        return NotRun("no leak audit was made.")
    found = []
    for data, audit in evidence.leak_audits.items():
        sigma = (audit.auc - audit.low) / norm.ppf(0.975)
        above = audit.auc - 0.5
        p = float(norm.sf(above / sigma)) if sigma > 0 else float(above <= 0)
        interval = f"[{audit.low:.3f}, {audit.high:.3f}]"
        detail = f"{data}: format, size, borders and metadata alone reach an area of {audit.auc:.3f} {interval}."
        found.append(Suspicion(p, detail, (data,)))
    return strongest_suspicion(19, "A leak audit is above chance", found)


def check_20_inversion_too_far(cells: Cells, evidence: Evidence) -> Found:
    """Binomial: more than 10% of the inversions lie beyond the gate before any attack."""
    if evidence.far_inversions is None:
        return NotRun("no attack inverts its images.")
    named = {key: cells.name(i) for i, key in enumerate(cells.table["cell_key"])}
    found = [
        Suspicion(
            more_than(FAR, far),
            f"{named.get(key, key)}: {shown(far)} inversions are too far from their images.",
            (key,),
        )
        for key, far in evidence.far_inversions.items()
    ]
    return strongest_suspicion(20, "Inversions are too far from their images", found)


def check_21_stopped_at_success(cells: Cells, _: Evidence) -> Found:
    """Images that left the attack at their first success go on to a defense, another network or JPEG."""
    table, found = cells.table, []
    jpeg = ~np.isnan(cells.matrix("success_jpeg75")).all(1)
    for cell in np.flatnonzero(table["attacked"] & (table["stop"] == "success")):
        line = table.iloc[cell]
        rests = [
            what
            for what, is_so in (
                (f"the {line['knowledge']} number behind {line['defense']}", line["defense"] != ""),
                ("the transfer number", line["knowledge"] == "transfer"),
                ("the JPEG number", jpeg[cell]),
            )
            if is_so
        ]
        if rests:
            found.append((f"{cells.name(cell)}: {' and '.join(rests)} rests on images that stopped.", cells.keys(cell)))
    return certain(21, "Images that stopped at success go on", found)


def _draws(attack_args: str) -> int:
    args = json.loads(attack_args) if attack_args else {}
    return int(args.get("samples", 1))


def _clean(cells: Cells, group: np.ndarray) -> np.ndarray:
    """Whether each original (N,) is answered right and accepted, from any cell that says so."""
    values = cells.matrix("clean_accuracy")[group]
    found = np.where(np.isnan(values), -1, values).max(0)
    return np.where(found < 0, np.nan, found)
