"""Validity: how many fooled matchers were fooled by the same person's face, beside the oracle's own errors."""

from collections.abc import Mapping
from typing import Any

from advgen.experiments import rates
from advgen.experiments.keys import validity_key
from advgen.experiments.report import words
from advgen.experiments.report.markup import Child, Markup, note, section, table, tag
from advgen.experiments.report.run import RunView
from advgen.experiments.stats import rate

_JUDGED = ("valid", "became_target")


def validity(view: RunView) -> Markup:
    """A line for each cell whose faces the oracle read; nothing where it read none."""
    errors = view.store.read_json("probes.json") or {}
    lines = []
    for key, (cell, _) in view.cells.items():
        rows = view.of(key)
        asked = rows[rows["validity"].isin(_JUDGED).to_numpy() & rates.measured(rows)] if len(rows) else rows
        if not len(asked):
            continue
        fooled = (asked["success_saved"].fillna(False).astype(bool) & (rates.numbers(asked, "inside") != 0)).to_numpy()
        changed = (asked["validity"] == "became_target").to_numpy()
        maker = errors.get("makers", {}).get(f"{cell.data}|{cell.attack}", "")
        own = errors.get("validity", {}).get(validity_key(cell, maker), {})
        of = own.get("inverted") or own.get("as drawn") or {}
        line = asked.iloc[0]
        lines.append(
            [
                words.attack(str(line["attack"]), str(line["attack_args"])) if line["attack"] else "clean",
                f"{words.friendly(str(line['target']))}, {line['goal']}",
                words.defense(str(line["defense"])) if line["defense"] else "none",
                str(line["knowledge"]),
                _share(rate(fooled)),
                _share(rate(fooled & ~changed)),
                _share(rate(changed)),
                _told(of.get("called changed")),
                _told(of.get("missed")),
                "inverted" if "inverted" in own else "as drawn",
                str(len(asked)),
            ]
        )
    if not lines:
        return Markup("")
    headings = ["attack", "target", "defense", "knowledge", "fooled", "fooled and valid", "became the target",
                "oracle: wrongly changed", "oracle: missed", "its errors on", "n"]  # fmt: skip
    return section(
        "validity",
        "Validity",
        note(
            "Fooled: inside the budget, on the saved bytes. Valid: an oracle that no attack knows still finds the "
            "person of the original; otherwise the face became its target (or, in dodging, somebody else's), and the "
            "matcher is right. Only fooled and valid counts as success anywhere on this page. The oracle errs: beside "
            "each rate, how often it calls unattacked held-out avatars changed, and how often it misses a face that is "
            "wholly the other person's, with targets chosen as here, on inversions where the attack inverts."
        ),
        table(headings, lines, numeric=range(4, 9)),
    )


def _share(found: Any) -> Child:
    return [words.percent(found.value), tag("small", words.interval(found.low, found.high))]


def _told(found: Mapping[str, Any] | None) -> Child:
    if found is None or found["value"] is None:
        return words.NONE
    return [words.percent(found["value"]), tag("small", words.interval(found["low"], found["high"]))]
