"""Runs the contracts of a plug-in: `check_plugin(cls)`, for our tests and for `advgen doctor --plugin`.

A plug-in waives a contract with a literal, `waives = {"contract": "reason"}`. A waiver that is not needed any more is
a failure, as is one of a contract that does not exist.
"""

import inspect
from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import partial
from typing import Any

from advgen.contracts import attacks, budgets, data, defenses, elsewhere, encoders, goals, optimum, targets
from advgen.contracts.contract import Contract, NotApplicable, Result, first_violation, judged, unknown_waivers
from advgen.contracts.subjects import built, variants
from advgen.core.errors import BadArgument, MissingFile

__all__ = ["Result", "check_plugin", "contracts_of"]


def check_plugin(plugin: Any, *, digests: Mapping[str, str] | None = None) -> list[Result]:
    """What became of every contract of a plug-in.

    `plugin` is an attack, purifier, detector, data set or encoder class, or an instance of a target, budget, goal or
    encoder. `digests` are those of `elsewhere.digests`, where they were computed for many plug-ins at once.

    Raises:
        BadArgument: it is none of these.
    """
    waives: Mapping[str, str] = getattr(plugin, "waives", {})
    contracts = contracts_of(plugin, digests=digests)
    results = [judged(name, contract, plugin, waives) for name, contract in contracts.items()]
    return results + unknown_waivers(contracts, waives)


def contracts_of(plugin: Any, *, digests: Mapping[str, str] | None = None) -> Mapping[str, Contract]:
    """The contracts of a plug-in by name, each to be called with it.

    Raises:
        BadArgument: it is nothing that has contracts.
    """
    if inspect.isclass(plugin):
        if hasattr(plugin, "run"):
            known = {name: partial(_for_each_norm, c) for name, c in {**attacks.ATTACKS, **optimum.OPTIMUM}.items()}
        elif hasattr(plugin, "purify") or hasattr(plugin, "score"):
            known = {name: partial(_as_defense, contract) for name, contract in defenses.DEFENSES.items()}
        elif hasattr(plugin, "load") and hasattr(plugin, "splits"):
            return {name: partial(_if_it_can_be_made, contract) for name, contract in data.DATA.items()}
        elif hasattr(plugin, "unknown"):
            return {name: partial(_if_it_can_be_made, contract) for name, contract in encoders.ENCODERS.items()}
        else:
            raise BadArgument(
                f"{plugin.__name__} has none of run, purify, score, load and unknown, by which attacks, purifiers, "
                "detectors, data sets and encoders are known."
            )
        return {**known, "gives_the_same_in_another_process": partial(_in_another_process, digests)}
    for mark, contracts in (
        ("reached", goals.GOALS),
        ("project", budgets.BUDGETS),
        ("as_module", targets.TARGETS),
        ("unknown", encoders.ENCODERS),
    ):
        if hasattr(plugin, mark):
            return contracts
    raise BadArgument(
        f"a {type(plugin).__name__} is no target, budget, goal or encoder; give classes of plug-ins as classes."
    )


def _for_each_norm(contract: Contract, cls: type[Any]) -> str:
    sentences = []
    for variant in variants(cls):
        sentence = contract(variant)
        broken = sentence and not isinstance(sentence, NotApplicable)
        sentences.append(f"{variant.norm}: {sentence}" if broken and variant.norm else sentence)
    return first_violation(*sentences)


def _as_defense(contract: Contract, cls: type[Any]) -> str:
    return contract(defenses.Defense(cls))


def _if_it_can_be_made(contract: Contract, cls: type[Any]) -> str:
    given = getattr(cls, "trial", {})
    open_fields = [f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING]
    if missing := [name for name in open_fields if name not in given]:
        return NotApplicable(f"it cannot be made without {', '.join(missing)}")
    try:
        return contract(built(cls))
    except MissingFile as error:
        return NotApplicable(f"its files are not here: {error}")


def _in_another_process(digests: Mapping[str, str] | None, cls: type[Any]) -> str:
    """The same seed gives the same bits in a process of its own."""
    address = elsewhere.address_of(cls)
    if not address:
        return "it cannot be found again in another process: it needs a file of its own"
    there = (digests if digests is not None else elsewhere.digests([address])).get(address, "it was not run there")
    if " " in there:
        return there
    return "" if there == elsewhere.digest_of(cls) else "gave other results in another process"
