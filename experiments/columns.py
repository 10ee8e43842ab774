"""The columns of the one table that statistics, claims, checks and reports read; standard library only.

`rows` is a pandas table with a line for each sample of each cell: the fields of `advgen.core.specs.Row`, as the judge
wrote them, beside the columns of the line's cell.
"""

from collections.abc import Mapping

from advgen.core.specs import Row

CELL_COLUMNS: Mapping[str, str] = {
    "data": "data set by name",
    "split": "train, validation, calibration or test",
    "target": "what is attacked, by name",
    "goal": "what the attack wants",
    "attack": 'attack by name; "" = the clean baseline',
    "attack_args": "its arguments that differ from the defaults, JSON",
    "budget": "budget by name",
    "radius": "radius as written",
    "radius_value": "radius as a number",
    "defense": 'defenses by name, joined with "+"; "" = none',
    "knowledge": "what the attacker knows of the defense: oblivious, transfer, adaptive",
    "surrogate": "network attacked in place of the target",
    "seed": "seed of the cell",
    "stop": '"never" or "success": when samples left the attack; "" where it has no such rule',
    "access": "what the attack needs of its target: white-box, score, decision, transfer",
    "cluster": "identity or latent of the sample: images of one cluster are not independent",
    "training_seed": "seed of the trained part under study; -1 = none",
}
COLUMNS: Mapping[str, str] = {name: f"Row.{name}" for name in Row._fields} | CELL_COLUMNS
OUTCOMES = ("clean_accuracy", "success_on_correct", "success", "robust_accuracy", "joint", "rejected", "clean_rejected")
