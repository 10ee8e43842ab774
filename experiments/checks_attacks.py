"""Warnings about attacks that look too weak: 1-7, 12, 22, 23 (Carlini et al. 2019, arXiv 1902.06705; Athalye et al.
2018, arXiv 1802.00420; Tramèr et al. 2020, arXiv 2002.08347).
"""

import numpy as np

from advgen.experiments.evidence import (
    SETTING,
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
from advgen.experiments.stats import discordant_p

UNBOUNDED_MISSES = 0.01  # an unbounded attack may miss this share: a step rule that has not arrived
NOISE_HARM = 0.03  # random noise inside a sensible budget breaks no more than this
ADAPTIVE_SHARE = 1 / 3  # adaptive attacks break at least this share of what a defense seems to save
GAIN = 0.02  # two points
ROUNDING = 0.01  # one point
EXACT_BUDGETS = ("Linf", "L2", "L1", "L0")

Found = CheckWarning | NotRun | None


def check_01_one_step_beats_many(cells: Cells, _: Evidence) -> Found:
    """McNemar, one-sided: a one-step attack against the strongest iterative one in the same place."""
    table, found = cells.table, []
    for group in cells.groups([*SETTING, "knowledge"], table["white_box"] & ~table["unbounded"]):
        one, many = group[table["one_step"].iloc[group]], group[~table["one_step"].iloc[group]]
        if len(one) and len(many):
            a, b = cells.strongest(one), cells.strongest(many)
            detail = f"{_rate(cells, a)}, {_rate(cells, b)} with many steps."
            found.append(Suspicion(cells.more(cells.success(a), cells.success(b)), detail, cells.keys(a, b)))
    if not found:
        return NotRun("it needs a one-step and an iterative white-box attack on one target at one radius.")
    return strongest_suspicion(1, "One step beats many", found)


def check_02_more_budget_less_success(cells: Cells, _: Evidence) -> Found:
    """McNemar, one-sided: the same attack at a smaller and at a larger radius, where it searches on what is judged.

    An attacker who does not know of a detector is caught more often the further he goes, and one step has no search.
    """
    table, found = cells.table, []
    same = [c for c in SETTING if c != "radius"] + ["attack", "attack_args", "knowledge", "surrogate", "seed"]
    aware = (table["defense"] == "") | (table["knowledge"] == "adaptive")
    fixed = table["attacked"] & table["radius_value"].notna() & ~table["noise"] & ~table["one_step"] & aware
    for group in cells.groups(same, fixed):
        group = group[np.argsort(table["radius_value"].iloc[group], kind="stable")]
        for i, small in enumerate(group):
            for large in group[i + 1 :]:
                detail = f"{_rate(cells, small)}, {_rate(cells, large)}."
                p = cells.more(cells.success(small), cells.success(large))
                found.append(Suspicion(p, detail, cells.keys(small, large)))
    if not found:
        return NotRun("it needs one attack at two radii.")
    return strongest_suspicion(2, "More budget, less success", found)


def check_03_unbounded_fails(cells: Cells, _: Evidence) -> Found:
    """Binomial: a white-box attack with an Linf radius of 1 misses more than 1% of what was right."""
    found = []
    for cell in np.flatnonzero(cells.table["white_box"] & cells.table["unbounded"]):
        hit = count(cells.success(cell))
        missed = Count(hit.n - hit.hits, hit.n)
        detail = f"{cells.name(cell)} misses {shown(missed)} although every image is in reach."
        found.append(Suspicion(more_than(UNBOUNDED_MISSES, missed), detail, cells.keys(cell)))
    if not found:
        return NotRun("it needs a white-box attack with Linf radius 1 (a study's `controls`).")
    return strongest_suspicion(3, "An unbounded attack does not reach 100%", found)


def check_04_blind_beats_white_box(cells: Cells, _: Evidence) -> Found:
    """McNemar, one-sided: each transfer or black-box attack against the strongest white-box one in the same place."""
    table, found = cells.table, []
    for group in cells.groups(SETTING, (table["white_box"] | table["black_box"]) & ~table["unbounded"]):
        white = group[table["white_box"].iloc[group]]
        blind = group[table["black_box"].iloc[group]]
        if len(white) and len(blind):
            best = cells.strongest(white)
            for cell in blind:
                detail = f"{_rate(cells, cell)} ({table['access'].iloc[cell]}), {_rate(cells, best)} (white-box)."
                found.append(
                    Suspicion(cells.more(cells.success(cell), cells.success(best)), detail, cells.keys(cell, best))
                )
    if not found:
        return NotRun("it needs a transfer or black-box attack beside a white-box one.")
    return strongest_suspicion(4, "Transfer or black-box beats white-box", found)


def check_05_noise_does_as_well(cells: Cells, _: Evidence) -> Found:
    """Binomial: noise breaks more than 3%, at least half as much as the attack, which wins less than half of the
    rest.
    """
    table, found = cells.table, []
    for group in cells.groups(SETTING, table["attacked"] & ~table["unbounded"]):
        noise, attacks = group[table["noise"].iloc[group]], group[table["white_box"].iloc[group]]
        if len(noise) == 0 or len(attacks) == 0:
            continue
        a, b = cells.strongest(noise), cells.strongest(attacks)
        by_noise, by_attack = count(cells.success(a)), count(cells.success(b))
        rest = count(np.where(cells.success(a) >= 0.5, np.nan, cells.success(b)))
        as_well = 2 * by_noise.hits >= by_attack.hits and 2 * rest.hits <= rest.n
        detail = f"Noise breaks {shown(by_noise)}, {cells.name(b)} {shown(by_attack)}."
        found.append(Suspicion(more_than(NOISE_HARM, by_noise) if as_well else 1.0, detail, cells.keys(a, b)))
    if not found:
        return NotRun("it needs random noise (image/noise, a study's `controls`) beside a white-box attack.")
    return strongest_suspicion(5, "Random noise does as well", found)


def check_06_adaptive_no_stronger(cells: Cells, _: Evidence) -> Found:
    """Binomial on what a defense seems to save at its largest radius: adaptive attacks break under a third of it."""
    table, found = cells.table, []
    base = ["data", "split", "target", "goal", "budget"]
    attacked = table["attacked"] & ~table["noise"] & ~table["unbounded"]
    for group in cells.groups([*base, "defense", "training_seed"], attacked & (table["defense"] != "")):
        radii = table.iloc[group].groupby("knowledge")["radius"].agg(set)
        both = radii.get("oblivious", set()) & radii.get("adaptive", set())
        group = group[table["radius"].iloc[group].isin(both)]
        if len(group) == 0:
            continue
        radius = table["radius_value"].iloc[group].fillna(-1.0)
        largest = group[radius == radius.max()]
        line, knows = table.iloc[largest[0]], table["knowledge"].iloc[largest]
        same = (table[[*base, "radius"]] == line[[*base, "radius"]]).all(axis=1)
        bare = np.flatnonzero(same & table["white_box"] & (table["defense"] == ""))
        if len(bare) == 0:
            continue
        undefended, oblivious = cells.worst(bare), cells.worst(largest[knows == "oblivious"])
        adaptive = cells.worst(largest[knows == "adaptive"])
        more = count(np.where((undefended >= 0.5) & (oblivious < 0.5), adaptive, np.nan))
        detail = (
            f"At {line['budget']} {line['radius']} {line['defense']} seems to save {more.n} images from oblivious "
            f"attacks; the adaptive ones break {more.hits} of them "
            f"({mean(adaptive):.0%} against {mean(oblivious):.0%} in all)."
        )
        found.append(Suspicion(fewer_than(ADAPTIVE_SHARE, more), detail, cells.keys(*largest)))
    if not found:
        return NotRun("it needs oblivious and adaptive attacks on a defense, and a white-box one without it.")
    return strongest_suspicion(6, "Adaptive is no stronger than oblivious", found)


def check_07_still_gaining(cells: Cells, evidence: Evidence) -> Found:
    """Binomial: more than 2 points first succeed in the last quarter of the steps, or with ten times the restarts."""
    if evidence.late_gain is None and evidence.restart_gain is None:
        return NotRun("it needs the attacks' traces: first successes over steps, or a run with ten times the restarts.")
    named = {key: cells.name(i) for i, key in enumerate(cells.table["cell_key"])}
    found = []
    for gains, when in (
        (evidence.late_gain, "in the last quarter of its steps"),
        (evidence.restart_gain, "with 10x restarts"),
    ):
        for key, gained in (gains or {}).items():
            detail = f"{named.get(key, key)} wins another {shown(gained)} {when}."
            found.append(Suspicion(more_than(GAIN, gained), detail, (key,)))
    return strongest_suspicion(7, "More steps or restarts still gain", found)


def check_12_rounding_undoes(cells: Cells, _: Evidence) -> Found:
    """McNemar and binomial: success in float is lost on the saved bytes, net of what rounding wins, by more than 1%."""
    found = []
    in_float, saved = cells.matrix("success_float"), cells.matrix("success_saved")
    for cell in np.flatnonzero(cells.table["attacked"]):
        both = ~np.isnan(in_float[cell]) & ~np.isnan(saved[cell])
        if not both.any():
            continue
        lost = int(((in_float[cell] > saved[cell]) & both).sum())
        won = int(((in_float[cell] < saved[cell]) & both).sum())
        n = int(both.sum())
        p = max(discordant_p(lost, won, relation="greater"), more_than(ROUNDING, Count(max(lost - won, 0), n)))
        detail = f"{cells.name(cell)}: rounding to uint8 undoes {lost} of {n} successes and adds {won}."
        found.append(Suspicion(p, detail, cells.keys(cell)))
    if not found:
        return NotRun("it needs success judged on the float image beside the saved one.")
    return strongest_suspicion(12, "Rounding to uint8 undoes successes", found)


def check_22_success_outside(cells: Cells, _: Evidence) -> Found:
    """A saved image that fools lies outside a budget that needs no network to measure."""
    table, found = cells.table, []
    fools, inside = cells.matrix("success_saved"), cells.matrix("inside")
    measured = np.flatnonzero(table["attacked"] & table["budget"].isin(EXACT_BUDGETS) & ~np.isnan(inside).all(1))
    for cell in measured:
        outside = int(((fools[cell] >= 0.5) & (inside[cell] == 0)).sum())
        if outside:
            found.append((f"{cells.name(cell)}: {outside} successes lie outside the budget.", cells.keys(cell)))
    if len(measured) == 0:
        return NotRun("no row says whether its saved image lies inside its budget.")
    return certain(22, "A success lies outside the budget", found)


def check_23_below_certified_bound(cells: Cells, evidence: Evidence) -> Found:
    """An attack succeeds, inside the budget, on an image for which that is proven impossible."""
    if evidence.certified is None:
        return NotRun("no target has a computed certified bound.")
    fools, inside, found = cells.matrix("success_saved"), cells.matrix("inside"), []
    for key, ids in evidence.certified.items():
        for cell in np.flatnonzero(cells.table["cell_key"] == key):
            broken = (fools[cell] >= 0.5) & (inside[cell] != 0) & cells.samples.isin(ids)
            if broken.any():
                detail = f"{cells.name(cell)} changes {int(broken.sum())} of {len(ids)} images that are proven safe."
                found.append((detail, (key,)))
    return certain(23, "An attack goes below a certified bound", found)


def _rate(cells: Cells, cell: int) -> str:
    return f"{cells.name(cell)}: {shown(count(cells.success(cell)))}"
