"""Rows of pictures: clean, adversarial, their difference, purified, and what was said of them. No torch."""

import base64
import io
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from advgen.core.specs import Cell
from advgen.experiments import rates
from advgen.experiments.report import words
from advgen.experiments.report.markup import Markup, folded, note, section, tag
from advgen.experiments.report.run import RunView
from advgen.experiments.tables import is_control

# Drawn figures and published sets of things; anybody else's pictures may show a person, and stay where they are.
SHOWN = frozenset({"avatars", "digits", "mnist", "fashion-mnist", "cifar10"})
GAIN = 10
MOST_CELLS = 24
RULE = (
    "Chosen by rule, not by eye: of each attack the largest radius at which it turned some images and others withstood "
    "(else the largest); there the first image in the order of the data that was right before and was turned, and the "
    "first such image that withstood."
)


def strips(view: RunView) -> Markup:
    """Two samples of each attack on each pipeline."""
    title = "Pictures"
    attacked = [(k, c) for k, (c, _) in view.cells.items() if c.attack is not None]
    if not attacked:
        return section("pictures", title, note("No attack has finished."))
    allowed = [(k, c) for k, c in attacked if c.data.name in SHOWN]
    hidden = sorted({c.data.name for _, c in attacked if c.data.name not in SHOWN})
    withheld = (
        note(
            f"No pictures of {', '.join(words.friendly(n) for n in hidden)} are shown, since they may show people: "
            f"the attacked images lie as PNG bytes in the folder images of the run {view.store.folder.name}."
        )
        if hidden
        else None
    )
    chosen = _chosen(view, allowed)
    groups: dict[tuple[str, str], list[Markup]] = {}
    for key in chosen[:MOST_CELLS]:
        line = view.of(key).iloc[0]
        groups.setdefault((str(line["data"]), str(line["defense"])), []).extend(_cell(view, key))
    if not any(groups.values()):
        return section("pictures", title, withheld or note("No attacked image is stored."))
    drawn = [
        folded(
            f"{words.friendly(data)} · {words.defense(defense)}",
            tag("div", figures, class_="strips"),
            open=k == 0,
        )
        for k, ((data, defense), figures) in enumerate(groups.items())
        if figures
    ]
    left_out = f" The first {MOST_CELLS} of {len(chosen)} cells are shown." if len(chosen) > MOST_CELLS else ""
    return section("pictures", title, note(RULE + left_out), withheld, drawn)


def _chosen(view: RunView, cells: list[tuple[str, Cell]]) -> list[str]:
    """A cell of each attack on each pipeline: the largest radius that left some images right, else the largest."""
    rows = view.rows.drop_duplicates("cell_key").set_index("cell_key")
    rows = rows.loc[[k for k, _ in cells]] if cells else rows.iloc[:0]
    rows = rows[~is_control(rows)]
    same = ["data", "target", "goal", "defense", "attack", "attack_args", "knowledge", "budget", "surrogate", "seed"]
    both = pd.Series({key: all(len(some) for some in _sides(view, str(key))) for key in rows.index}, dtype=bool)
    ordered = rows.assign(both=both).sort_values([*same, "both", "radius_value"])
    return [str(k) for k in ordered.reset_index().drop_duplicates(same, keep="last")["cell_key"]]


def _sides(view: RunView, key: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows that were right before: those that the attack turned, and those that withstood."""
    rows = view.of(key)
    rows = rows[rates.measured(rows)]
    right = rows[rates.outcome(rows, "clean_accuracy") == 1]
    won = rates.outcome(right, "success") >= 0.5
    return right[won], right[~won]


def _cell(view: RunView, key: str) -> list[Markup]:
    cell, meta = view.cells[key]
    turned, withstood = _sides(view, key)
    return [
        drawn
        for which, some in (("turned", turned), ("withstood", withstood))
        if len(some)
        if (drawn := _strip(view, cell, meta, some.iloc[0], which)) is not None
    ]


def _strip(view: RunView, cell: Cell, meta: dict[str, Any], line: pd.Series, which: str) -> Markup | None:
    sample, store = str(line["sample_id"]), view.store
    attacked = store.find_image(str(meta.get("attack_key", "")), sample)
    if attacked is None or attacked.png is None:
        return None
    kept = store.find_image(str(meta["originals_key"]), sample) if meta.get("originals_key") else None
    clean = kept.png if kept is not None else None
    purified = store.find_image(str(meta["purified_key"]), sample) if meta.get("purified_key") else None
    classes = view.classes(str(line["cell_key"]))
    before, after = (words.prediction(line[c], classes) for c in ("clean_prediction", "prediction"))
    shown = []
    if clean is not None:
        shown.append(_picture(clean, f"clean image, seen as {before}", "clean", before))
    shown.append(_picture(attacked.png, f"attacked image, seen as {after}", "attacked", after))
    if clean is not None:
        alt = f"difference of the two, {GAIN} times as strong"
        shown.append(_picture(difference(clean, attacked.png), alt, f"difference ×{GAIN}", ""))
    if purified is not None and purified.png is not None:
        shown.append(_picture(purified.png, "attacked image after the purifier", "purified", ""))
    verdict = "rejected" if pd.notna(line["rejected"]) and line["rejected"] else after
    knew = f", {cell.knowledge}" if cell.defense or cell.knowledge == "transfer" else ""
    numbers = f"L∞ {255 * float(line['linf']):.0f}/255, LPIPS {words.number(float(line['lpips']), 2)}"
    alarm = "" if pd.isna(line["alarm"]) else f", alarm {float(line['alarm']):+.1f}σ"
    title = f"{words.attack(line['attack'], line['attack_args'])} {words.budget(line['budget'], line['radius'])}{knew}"
    return tag(
        "figure",
        tag("div", shown, class_="strip"),
        tag("figcaption", tag("b", title), f" · {which}: {before} → {verdict} · {numbers}{alarm} · {sample}"),
    )


def _picture(png: bytes, alt: str, name: str, said: str) -> Markup:
    source = "data:image/png;base64," + base64.b64encode(png).decode()
    return tag("div", tag("img", src=source, alt=alt), tag("span", name + (f": {said}" if said else "")))


def difference(clean: bytes, attacked: bytes) -> bytes:
    """A PNG of the change, ten times as strong, around middle grey."""
    first, second = (np.asarray(Image.open(io.BytesIO(png)), dtype=np.int16) for png in (clean, attacked))
    strong = np.clip(128 + GAIN * (second - first), 0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(strong).save(out, "PNG")
    return out.getvalue()
