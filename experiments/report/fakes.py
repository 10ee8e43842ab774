"""Real or generated: what surrounds the detectors of generated images, beside what they say of attacked ones."""

from collections.abc import Mapping
from typing import Any

from advgen.experiments.report import words
from advgen.experiments.report.markup import Child, Markup, note, section, table, tag
from advgen.experiments.report.run import RunView


def fakes(view: RunView) -> Markup:
    """Controls and leak audit of each such detector; nothing where a run has none."""
    found = (view.store.read_json("probes.json") or {}).get("fakes", {})
    wanted = {f"{cell.data}|{part}": part for cell, _ in view.cells.values() for part in (*cell.defense, cell.target)}
    blocks = [_one(name, wanted[name].name, told) for name, told in found.items() if name in wanted]
    if not blocks:
        return Markup("")
    return section(
        "fakes",
        "Real or generated",
        note(
            "Controls: what each detector says of images that no attack has touched. The matched one is real images, "
            "inverted and saved again by the pipeline that makes the attacked ones: what is called generated there is "
            "the generator, not the attack. The audit sees the files alone, never the picture; an area of 0.5 is "
            "chance."
        ),
        blocks,
    )


def _one(name: str, detector: str, told: Mapping[str, Any]) -> Markup:
    controls = [
        [
            what,
            [words.percent(c["called generated"][0]), tag("small", words.interval(*c["called generated"][1:]))],
            _area(c.get("area")),
            f"{c['mean']:+.2f}",
            str(c["n"]),
        ]
        for what, c in told["controls"].items()
    ]
    leaks = [["all together", _area(told["leaks"]["together"])]]
    leaks += [[feature, _area(area)] for feature, area in told["leaks"]["features"].items()]
    sizes = f"{told['leaks']['real']} real and {told['leaks']['fake']} generated files, as the detector learns them"
    return tag(
        "div",
        tag("h3", f"{words.friendly(detector)}: {name.replace('|', ', ')}"),
        table(["images", "called generated", "AUC against real", "mean alarm", "n"], controls, numeric=range(1, 5),
              caption=f"Controls, at the threshold for {told['fpr']:.1%} false alarms"),
        table(["seen of a file", "area"], leaks, numeric=(1,), caption=f"Leak audit, {sizes}"),
    )  # fmt: skip


def _area(area: Mapping[str, Any] | None) -> Child:
    if area is None or area["value"] is None:
        return words.NONE
    return [f"{area['value']:.3f}", tag("small", f"[{area['low']:.3f}, {area['high']:.3f}]")]
