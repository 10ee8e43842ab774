"""Tables: every number of the matrix, counted again by hand from the rows."""

import numpy as np
import pandas as pd
import pytest

from advgen.core.specs import BudgetSpec, Cell, DataSpec, Part, Row
from advgen.experiments.claims import COSTS
from advgen.experiments.stats import wilson
from advgen.experiments.store import cell_columns
from advgen.experiments.tables import WORST_CASE, is_control, knowledge_matrix, rate_of, rates_table

DATA, TARGET = DataSpec("digits", "test", 60), Part("net")
PGD, FGSM, NOISE, JPEG = Part("image/pgd"), Part("image/fgsm"), Part("image/noise"), Part("purify/jpeg")
ALARM = Part("detect/magnet")


def frame(cells: list[tuple[Cell, str, float]], n: int = 60, cluster: int = 1) -> pd.DataFrame:
    """Random rows; each cell breaks about the share given."""
    frames = []
    for cell, key, share in cells:
        rng = np.random.default_rng(int(key))
        rows = []
        for i in range(n):
            broken = cell.attack is not None and rng.random() < share
            rejected = bool(rng.random() < 0.3) if ALARM in cell.defense else None
            wrong = i % 7 == 0
            rows.append(
                Row(
                    f"digits/test/{i}", key, label=0, clean_prediction=int(wrong),
                    clean_rejected=None if rejected is None else i % 10 == 1, prediction=int(wrong or broken),
                    success_float=broken, success_saved=(wrong or broken) and not rejected, success_jpeg75=broken,
                    success_probability=float((wrong or broken) and not rejected), rejected=rejected,
                    clean_alarm=None if rejected is None else 0.0, alarm=None if rejected is None else 0.0, linf=0.1,
                    l2=1.0, lpips=0.2, inside=True, forwards=3.0, error="broken file" if i == 3 and cell.attack else "",
                )._asdict()
            )  # fmt: skip
        table = pd.DataFrame(rows)
        for column, value in cell_columns(cell, {}, {}).items():
            table[column] = value
        table["cluster"] = [str(i // cluster) for i in range(n)]
        frames.append(table)
    return pd.concat(frames, ignore_index=True)


def grid() -> list[tuple[Cell, str, float]]:
    base = Cell(DATA, TARGET, budget=BudgetSpec("Linf", "8/255"))
    clean = Cell(DATA, TARGET)
    return [
        (clean, "1", 0.0),
        (clean._replace(defense=(JPEG,)), "2", 0.0),
        (clean._replace(defense=(ALARM,)), "3", 0.0),
        (base._replace(attack=PGD), "4", 0.8),
        (base._replace(attack=FGSM), "5", 0.5),
        (base._replace(attack=NOISE), "6", 0.9),
        (base._replace(attack=PGD, defense=(JPEG,)), "7", 0.2),
        (base._replace(attack=PGD, defense=(JPEG,), knowledge="transfer", surrogate=Part("other")), "8", 0.3),
        (base._replace(attack=PGD, defense=(JPEG,), knowledge="adaptive"), "9", 0.4),
        (base._replace(attack=FGSM, defense=(JPEG,), knowledge="adaptive"), "10", 0.4),
        (base._replace(attack=PGD, defense=(ALARM,)), "11", 0.6),
        (base._replace(attack=PGD, budget=BudgetSpec("Linf", "1")), "12", 1.0),
    ]


def left(rows: pd.DataFrame, keys: list[str]) -> np.ndarray:
    """Whether each sample that has a result everywhere is right and accepted before and after every cell, by hand."""
    kept = []
    for sample in sorted(set(rows["sample_id"])):
        own = rows[(rows["sample_id"] == sample) & rows["cell_key"].isin(keys)].to_dict("records")
        if any(r["error"] for r in own):
            continue
        kept.append(
            all(
                r["clean_prediction"] == 0 and r["prediction"] == 0 and not r["rejected"] and not r["clean_rejected"]
                for r in own
            )
        )
    return np.array(kept)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return frame(grid())


@pytest.mark.parametrize(
    ("defense", "column", "keys"),
    [
        ("", "oblivious", ["4", "5"]),
        ("", "adaptive", ["4", "5"]),
        ("purify/jpeg", "oblivious", ["7"]),
        ("purify/jpeg", "transfer", ["8"]),
        ("purify/jpeg", "adaptive", ["7", "8", "9", "10"]),
        ("detect/magnet", "oblivious", ["11"]),
    ],
)
def test_every_number_of_the_matrix_is_the_worst_of_its_cells(rows, defense, column, keys):
    (line,) = [m for m in knowledge_matrix(rows) if m.defense == defense]
    found, wanted = getattr(line, column).robust, left(rows, keys)
    assert (found.value, found.n) == (pytest.approx(wanted.mean()), len(wanted))
    assert (found.low, found.high) == pytest.approx(wilson(wanted.sum(), len(wanted))[1:3])


def test_a_rejected_attack_counts_for_the_defense_and_a_rejected_original_against_it(rows):
    (line,) = [m for m in knowledge_matrix(rows) if m.defense == "detect/magnet"]
    own = rows[(rows["cell_key"] == "11") & (rows["error"] == "")]
    by_hand = [
        r["clean_prediction"] == 0 and not r["clean_rejected"] and (r["rejected"] or r["prediction"] == 0)
        for r in own.to_dict("records")
    ]
    assert line.oblivious.joint.value == pytest.approx(np.mean(by_hand))
    assert line.rejects


def test_what_is_missing_says_why_and_is_stamped(rows):
    lines = {m.defense: m for m in knowledge_matrix(rows)}
    assert lines["detect/magnet"].adaptive.missing == "not run"
    assert lines["detect/magnet"].non_adaptive
    assert not lines["purify/jpeg"].non_adaptive
    assert not lines[""].non_adaptive
    assert lines[""].transfer.missing == "not run"


def test_a_defense_that_nothing_attacked_is_a_line_of_gaps(rows):
    lines = knowledge_matrix(rows[rows["cell_key"].isin(["1", "2", "4"])])
    (jpeg,) = [m for m in lines if m.defense == "purify/jpeg"]
    assert [s.missing for s in (jpeg.oblivious, jpeg.transfer, jpeg.adaptive)] == ["not run"] * 3
    assert jpeg.clean.n == 60


def test_controls_are_in_no_worst_case(rows):
    assert set(rows.loc[is_control(rows), "cell_key"]) == {"6", "12"}
    table = rates_table(rows)
    assert set(table.loc[table["control"], "attack"]) == {"image/noise", "image/pgd"}
    worst = table[(table["attack"] == WORST_CASE) & (table["defense"] == "")]
    assert worst["robust_accuracy"].tolist() == [pytest.approx(left(rows, ["4", "5"]).mean())]


def test_the_table_has_a_line_for_each_cell_with_n_errors_and_interval(rows):
    table = rates_table(rows)
    assert (table["attack"] != WORST_CASE).sum() == rows["cell_key"].nunique()
    line = table[(table["attack"] == "image/fgsm") & (table["knowledge"] == "oblivious")].iloc[0]
    own = rows[(rows["cell_key"] == "5") & (rows["error"] == "")]
    success = own["success_saved"].astype(bool)
    right = own["clean_prediction"] == 0
    assert (line["n"], line["errors"], line["n_correct"]) == (59, 1, right.sum())
    assert line["success"] == pytest.approx(success.mean())
    assert line["success_on_correct"] == pytest.approx(success[right].mean())
    assert line["success_low"] < line["success"] < line["success_high"]
    assert line["clean_accuracy"] == pytest.approx(right.mean())
    assert {c: line[c] for c in COSTS}["forwards"] == 3.0


def test_the_worst_case_costs_what_its_attacks_cost_together(rows):
    table = rates_table(rows)
    worst = table[(table["attack"] == WORST_CASE) & (table["knowledge"] == "adaptive")]
    assert worst["forwards"].tolist() == [6.0]


def test_images_of_one_person_widen_the_interval(rows):
    values = np.repeat(np.arange(12) % 2, 5).astype(float)
    own = rows[rows["cell_key"] == "1"]
    independent = rate_of(values, own)
    grouped = rate_of(values, own.assign(cluster=np.repeat(np.arange(12), 5).astype(str)))
    assert independent.value == grouped.value == 0.5
    assert grouped.high - grouped.low > 1.5 * (independent.high - independent.low)


def test_given_images_promise_nothing_of_what_their_maker_knew(rows):
    given = rows.assign(attack=rows["attack"].replace("image/pgd", "given:adversarials"))
    lines = {m.defense: m for m in knowledge_matrix(given[given["cell_key"].isin(["1", "2", "4", "7"])])}
    assert "not recorded" in lines[""].adaptive.missing
    assert "not recorded" in lines["purify/jpeg"].adaptive.missing
