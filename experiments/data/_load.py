"""From a `DataSpec` to a `Slice`: the one way in which anything gets data."""

from advgen.core import registry
from advgen.core.errors import BadArgument
from advgen.core.specs import DataSpec
from advgen.core.types import Slice
from advgen.experiments.data._table import check_split, overlap

__all__ = ["load", "overlap"]


def load(spec: DataSpec) -> Slice:
    """The first `spec.count` samples (0 = all) of a split, as bytes, with table and content hash.

    `spec.name` is a file of this folder (with - or _ in it), `folder:PATH` for anybody's images, or a stranger's
    `module:Class`.

    Raises:
        UnknownName: no such data set, split or argument.
        BadArgument: a count, size or argument that cannot be had.
        MissingFile: a file that must be brought first; nothing is downloaded.
    """
    name, args = spec.name, dict(spec.args)
    if name.startswith("folder:"):
        name, args["path"] = "folder", name.removeprefix("folder:")
    if ":" not in name:
        name = name.replace("_", "-")
    data_set = registry.create("data", name, **args)
    check_split(spec.name, spec.split, data_set.splits)
    if spec.size is not None and not 8 <= spec.size <= 4096:
        raise BadArgument(f"the size of images must be 8 to 4096 pixels, got {spec.size}.")
    slice_ = data_set.load(spec.split, spec.count, spec.size)
    assert isinstance(slice_, Slice), f"data set {spec.name} returned {type(slice_).__name__}"
    return slice_
