"""From a `DataSpec` to a `Slice`: the one way in which anything gets data."""

import dataclasses
import importlib
from pathlib import Path
from typing import Any

from advgen.core.errors import BadArgument, UnknownName
from advgen.core.specs import DataSpec
from advgen.core.types import Slice
from advgen.experiments.data._table import check_split, overlap

__all__ = ["load", "overlap"]


def load(spec: DataSpec) -> Slice:
    """The first `spec.count` samples (0 = all) of a split, as bytes, with table and content hash.

    `mnist` and `fashion-mnist` may be written with - or _; `folder:PATH` is anybody's folder of images.

    Raises:
        UnknownName: no such data set, split or argument.
        BadArgument: a count or size that cannot be had.
        MissingFile: a file that must be brought first; nothing is downloaded.
    """
    name, _, path = spec.name.partition(":")
    args = dict(spec.args)
    if name == "folder":
        if path:
            args["path"] = path
    elif path:
        raise UnknownName.among("data set", spec.name, _names(), "Only folder: takes something after the colon.")
    data_set = _class(name)
    fields = {field.name for field in dataclasses.fields(data_set)}
    for argument in args:
        if argument not in fields:
            raise UnknownName.among(f"argument of data set {name}", argument, fields)
    check_split(name, spec.split, data_set.splits)
    if spec.size is not None and not 8 <= spec.size <= 4096:
        raise BadArgument(f"the size of images must be 8 to 4096 pixels, got {spec.size}.")
    return data_set(**args).load(spec.split, spec.count, spec.size)


def _class(name: str) -> Any:
    module_name = name.replace("-", "_")
    if module_name not in _names():
        raise UnknownName.among("data set", name, _names())
    module = importlib.import_module(f"advgen.experiments.data.{module_name}")
    (data_set,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__ and not value.__name__.startswith("_")
    )
    return data_set


def _names() -> list[str]:
    return sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py"))
