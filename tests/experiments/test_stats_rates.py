"""Rates over rows: each has its own denominator, no false success counts, the worst case is per sample."""

import numpy as np
import pandas as pd
import pytest

from advgen.core.errors import BadArgument, UnknownName
from advgen.core.specs import Row
from advgen.experiments import columns, rates

CELL = {
    "data": "digits",
    "split": "test",
    "target": "net",
    "goal": "untargeted",
    "attack": "image/pgd",
    "attack_args": "{}",
    "budget": "Linf",
    "radius": "8/255",
    "radius_value": 8 / 255,
    "defense": "",
    "knowledge": "oblivious",
    "surrogate": "",
    "seed": 0,
    "stop": "never",
    "access": "white-box",
    "training_seed": -1,
}


def rows(attack: str = "image/pgd", **columns: list[object]) -> pd.DataFrame:
    """Rows of one cell: sample i has label 0, is answered right before, and is fooled as `success_saved` says."""
    n = len(next(iter(columns.values())))
    table = pd.DataFrame([Row(f"digits/test/{i}", attack, 0)._asdict() for i in range(n)])
    table = table.assign(**CELL, cluster=table["sample_id"]).assign(attack=attack)
    table = table.assign(clean_prediction=0, clean_rejected=False, rejected=False, inside=True)
    for name, values in columns.items():
        table[name] = values
    if "prediction" not in columns and "success_saved" in columns:
        table["prediction"] = [None if s is None else int(s) for s in columns["success_saved"]]
    return table


def test_the_four_denominators_are_kept_apart() -> None:
    found = rates.rates(rows(clean_prediction=[0, 0, 0, 1], success_saved=[True, False, False, True]))
    assert (found.clean_accuracy.hits, found.clean_accuracy.n) == (3, 4)
    assert (found.success_on_correct.hits, found.success_on_correct.n) == (1, 3)
    assert (found.success.hits, found.success.n) == (2, 4)
    assert (found.robust_accuracy.hits, found.robust_accuracy.n) == (2, 4)


def test_errors_are_in_no_denominator_and_counted() -> None:
    found = rates.rates(rows(success_saved=[True, None], error=["", "the target raised."]))
    assert (found.success.n, found.robust_accuracy.n, found.clean_accuracy.n, found.errors) == (1, 1, 1, 1)


def test_no_rows_give_empty_rates() -> None:
    found = rates.rates(rows(success_saved=[True]).iloc[:0])
    assert found.success == (None, None, None, 0, 0)
    assert rates.worst_case(rows(success_saved=[True]).iloc[:0]).rate.value is None


def test_a_success_outside_the_budget_or_that_became_the_target_is_none() -> None:
    table = rows(success_saved=[True] * 3, inside=[False, True, None], validity=["valid", "became_target", "valid"])
    found = rates.rates(table)
    assert (found.success.hits, found.outside, found.became_target) == (1, 1, 1)
    assert found.robust_accuracy.hits == 2


def test_rejection_of_adversarial_images_helps_and_of_clean_ones_costs() -> None:
    table = rows(
        success_saved=[False, False, False, True],
        prediction=[1, 1, 0, 1],
        rejected=[True, True, False, False],
        clean_rejected=[False, True, False, False],
    )
    found = rates.rates(table)
    assert found.clean_accuracy.hits == 3
    assert found.joint.hits == 2  # the first is rejected, the third right; the second was lost already clean
    assert found.robust_accuracy.hits == 1  # right and accepted


def test_a_targeted_attack_that_ends_in_a_third_class_is_no_success_and_no_right_answer() -> None:
    found = rates.rates(rows(success_saved=[False, False], prediction=[2, 0], wanted=[1, 1]).assign(goal="targeted"))
    assert (found.success.hits, found.robust_accuracy.hits) == (0, 1)


def test_random_defenses_contribute_probabilities() -> None:
    table = rows(success_saved=[True, False], success_probability=[0.25, 0.5], repeats=[20, 20])
    assert rates.rates(table).success.value == pytest.approx(0.375)
    assert rates.rates(table).joint.value == pytest.approx(0.625)


def test_worst_case_is_per_sample_with_each_attacks_share() -> None:
    table = pd.concat(
        [
            rows("image/a", success_saved=[True, True, True, False, False, False]),
            rows("image/b", success_saved=[True, True, False, True, False, False]),
            rows("image/c", success_saved=[True, False, False, False, False, False]),
        ]
    )
    worst = rates.worst_case(table)
    assert (worst.rate.hits, worst.rate.n, worst.incomplete) == (2, 6, 0)
    shares = worst.shares.assign(attack=worst.shares["attack"].str.split(" ").str[0]).set_index("attack")
    np.testing.assert_allclose(
        shares.loc["image/a", ["alone", "marginal", "unique"]].astype(float), [3 / 6, 3 / 6, 1 / 6]
    )
    np.testing.assert_allclose(
        shares.loc["image/b", ["alone", "marginal", "unique"]].astype(float), [3 / 6, 1 / 6, 1 / 6]
    )
    np.testing.assert_allclose(shares.loc["image/c"].tolist(), [1 / 6, 0, 0])
    assert worst.samples["broken_by"][0].count("image/") == 3
    assert rates.worst_case(table, "success").rate.hits == 4


def test_a_sample_that_one_attack_could_not_do_is_counted_apart() -> None:
    table = pd.concat(
        [rows("a", success_saved=[True, None], error=["", "failed."]), rows("b", success_saved=[False, False])]
    )
    worst = rates.worst_case(table)
    assert (worst.rate.n, worst.rate.hits, worst.incomplete) == (1, 0, 1)


def test_a_sample_that_was_wrong_before_is_in_the_denominator_of_success_on_all_only() -> None:
    table = rows(clean_prediction=[1, 0], success_saved=[True, True])
    assert rates.worst_case(table, "success_on_correct").rate.n == 1
    assert rates.worst_case(table, "success").rate.n == 2


def test_a_selection_that_mixes_cells_is_refused() -> None:
    table = rows(success_saved=[True])
    with pytest.raises(BadArgument, match="several values of defense"):
        rates.worst_case(pd.concat([table, table.assign(defense="purify/jpeg")]))
    with pytest.raises(BadArgument, match="twice"):
        rates.worst_case(pd.concat([table, table]))


def test_the_curve_starts_at_clean_accuracy_and_ends_with_the_worst_case() -> None:
    small = rows("a", success_saved=[False, True], clean_prediction=[0, 0]).assign(radius="1/255", radius_value=1 / 255)
    table = pd.concat([small, rows("a", success_saved=[True, True]), rows("b", success_saved=[False, False])])
    curve = rates.budget_curve(table).set_index(["attack", "radius"])["value"]
    assert curve.to_dict() == {
        ("", "0"): 1.0,
        ("a", "1/255"): 0.5,
        ("a", "8/255"): 0.0,
        ("b", "8/255"): 1.0,
        ("worst case", "8/255"): 0.0,
    }


def test_a_minimum_norm_success_counts_from_its_distance_on() -> None:
    curve = rates.distance_curve(rows(success_saved=[True, True], l2=[0.5, 1.5]), "l2", [0.1, 1, 2])
    assert curve["value"].tolist() == [1, 0.5, 0]


def test_selecting_by_an_unknown_column_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="'defense'"):
        rates.select(rows(success_saved=[True]), {"defence": ""})
    with pytest.raises(UnknownName, match="'success'"):
        rates.outcome(rows(success_saved=[True]), "succes")


def test_every_column_of_a_row_and_of_its_cell_is_documented() -> None:
    assert set(Row._fields) < set(columns.COLUMNS)
    assert set(columns.CELL_COLUMNS) <= {*CELL, "cluster"}
