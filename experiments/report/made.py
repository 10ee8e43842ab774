"""What a run took, what it was made with, and how to make it again."""

import json
import shlex

import yaml

from advgen.core.specs import GIVEN
from advgen.experiments.report import words
from advgen.experiments.report.markup import Markup, folded, note, section, table, tag
from advgen.experiments.report.run import RunView
from advgen.experiments.store_readings import Stored

COMMANDS = ("run", "judge", "demo")
COUNTS = ("forwards", "backwards", "generator_calls")


def cost(view: RunView) -> Markup:
    """What each attack and each measurement took."""
    parts = [*([_attacks(view)] if view.attacks else []), *([_measurements(view)] if view.measured else [])]
    return section("cost", "Cost", parts)


def _measurements(view: RunView) -> list[Markup | None]:
    groups: dict[tuple[str, str, str], list[Stored]] = {}
    for s in view.measured:
        groups.setdefault((s.measurement.measure.name, s.measurement.label, s.measurement.arm), []).append(s)
    body = []
    for (measure, label, arm), some in groups.items():
        means = [sum(float(s.meta[c]) for s in some) / len(some) for c in ("seconds", *COUNTS)]
        peak = max(int(s.meta["peak_bytes"]) for s in some)
        body.append([arm, words.friendly(measure), label, *(words.number(m) for m in means),
                     f"{peak / 2**20:.0f}" if peak else words.NONE, str(len(some))])  # fmt: skip
    total = sum(float(s.meta["seconds"]) for s in view.measured)
    device = view.environment.get("device", "cpu")
    headings = ["arm", "measure", "label", "seconds", "forwards", "backwards", "generator calls", "peak MiB", "n"]
    used = [
        k for k, name in enumerate(headings) if name in ("arm", "seconds", "n") or any(_is_told(b[k]) for b in body)
    ]
    lines = [[line[k] for k in used] for line in body]
    return [
        note(f"Means a measurement on {device}; {words.counted(round(total), 'second')} in all, training not counted."),
        folded(
            "What each arm took",
            table([headings[k] for k in used], lines, numeric=[i for i, k in enumerate(used) if k > 2]),
        ),
    ]


def _is_told(cell: str) -> bool:
    return cell not in ("", "0", words.NONE)


def _attacks(view: RunView) -> list[Markup | None]:
    """What each attack took; images that several cells share were made once."""
    seen: set[str] = set()
    body = []
    for key, (cell, meta) in view.cells.items():
        if cell.attack is None or cell.attack.name.startswith(GIVEN) or meta.get("attack_key") in seen:
            continue
        seen.add(str(meta.get("attack_key")))
        rows = view.of(key)
        done = rows[(rows["error"].fillna("") == "").to_numpy()]
        if done.empty:
            continue
        line = rows.iloc[0]
        made = {
            "adaptive": f"{words.defense(line['defense'])}, adaptive",
            "transfer": words.friendly(line["surrogate"]),
        }.get(cell.knowledge, words.friendly(line["target"]))
        radius = cell.budget.value if cell.budget else 0.0
        order = (line["data"], made, line["attack"], line["attack_args"], line["budget"], radius)
        body.append(
            (
                order,
                [
                    words.attack(line["attack"], line["attack_args"]),
                    words.friendly(str(line["data"])),
                    tag("span", words.budget(line["budget"], line["radius"]), class_="whole"),
                    made,
                    *(
                        words.number(float(done[c].mean()))
                        for c in ("forwards", "backwards", "generator_calls", "seconds")
                    ),
                    f"{int(done['peak_bytes'].max()) / 2**20:.0f}" if done["peak_bytes"].max() else words.NONE,
                    str(len(done)),
                ],
            )
        )
    body.sort(key=lambda pair: pair[0])
    headings = ["attack", "data", "budget", "made against", "forwards", "backwards", "generator calls", "seconds",
                "peak MiB", "n"]  # fmt: skip
    if not body:
        return [note("No attack was made here: nothing was spent.")]
    total = sum(float(view.of(k)["seconds"].fillna(0).sum()) for k in _made(view))
    return [
        note(
            f"Means a sample on {view.environment.get('device', 'cpu')}; "
            f"{words.counted(round(total), 'second')} of attacks in all."
        ),
        folded(
            "Forwards, backwards and seconds a sample",
            table(headings, [cells for _, cells in body], numeric=range(4, 10)),
        ),
    ]


def _made(view: RunView) -> list[str]:
    """One cell for each set of attacked images."""
    return list({str(m.get("attack_key")): k for k, (c, m) in view.cells.items() if c.attack is not None}.values())


def environment(view: RunView) -> Markup:
    """What the numbers were made with, and how to make them again."""
    env = view.environment
    hashes: dict[str, str] = {}
    cards: dict[str, str] = {}
    for cell, meta in view.cells.values():
        for name, value in meta.get("hashes", {}).items():
            what = f"data {cell.data}" if name == "data" else f"target {cell.target}" if name == "target" else name
            hashes[what] = str(value)
        card = meta.get("target_card") or {}
        if card:
            cards[str(card.get("name"))] = f"recipe {card.get('recipe')}, licence {card.get('licence')}"
    for s in view.measured:
        for name, value in s.meta.get("hashes", {}).items():
            many = len({o.meta["hashes"].get(name) for o in view.measured}) > 1
            hashes[f"{name} ({s.measurement.arm}, seed {s.measurement.seed})" if many else name] = str(value)
    stand_ins = view.store.stand_ins()
    seeds = sorted({c.seed for c, _ in view.cells.values()} | {s.measurement.seed for s in view.measured})
    plan = view.store.plan
    pairs = {
        "date": env.get("date"),
        "commit": env.get("commit") or "an installed package",
        "device": f"{env.get('device', '')} ({env.get('device_reason', '')})",
        "machine": f"{env.get('processor', '')}, {env.get('platform', '')}",
        "Python": env.get("python"),
        "seeds": ", ".join(map(str, seeds)),
        "batch size and threads": f"{plan.get('batch_size')}, {plan.get('threads')}",
        "machine load": "; ".join(dict.fromkeys(str(s.meta["machine_load"]) for s in view.measured)),
        "LPIPS judged by": ", ".join(sorted({str(m.get("judge_net")) for _, m in view.cells.values()})),
        "stand-ins": "none"
        if not stand_ins
        else ", ".join(f"{new} for {old}" for old, new in sorted(stand_ins.items())),
        "versions": ", ".join(f"{k} {v}" for k, v in env.get("versions", {}).items()),
    }
    drawn = [[tag("dt", k), tag("dd", str(v))] for k, v in pairs.items() if v]
    return section(
        "environment",
        "Environment",
        tag("h3", "To make this page again"),
        tag("pre", tag("code", reproduce(view))),
        folded(
            "Versions, machine, hashes",
            tag("dl", drawn, class_="pairs"),
            table(["what", "hash"], [[words.friendly(k), tag("code", v)] for k, v in sorted(hashes.items())])
            if hashes
            else None,
            table(["network", "card"], [[words.friendly(k), v] for k, v in sorted(cards.items())]) if cards else None,
        ),
    )


def reproduce(view: RunView) -> str:
    """The command that makes the run again; for a study made in Python, the study file that lies beside the page."""
    command = str(view.environment.get("command", ""))
    said = command.split()
    if len(said) > 1 and said[1] in COMMANDS:
        return command
    if any(c.data.name.startswith(GIVEN) for c, _ in view.cells.values()):
        return "# made from Python: call advgen.evaluate(...) with the same model, images and arguments"
    return f"advgen run study.yaml --out {shlex.quote(view.store.folder.name)}   # study.yaml lies beside this page"


def study_yaml(view: RunView) -> str:
    """The study as a file that `advgen run` takes."""
    written = {**view.study.get("study", {}), "claims": view.study.get("claims", [])}
    return str(yaml.safe_dump(json.loads(json.dumps(written)), sort_keys=False, allow_unicode=True))
