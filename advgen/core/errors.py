"""Every error the platform raises on purpose, in one tree.

    AdvgenError
    ├── UserError              what the caller gave cannot be used; a command exits with 2
    │   ├── UnknownName        no such plug-in, argument, data set or class; says the nearest name
    │   ├── BadArgument        a value of the wrong kind or outside its range
    │   ├── BadFile            a file that is not what it should be (image, checkpoint, study, table)
    │   ├── MissingFile        a file that must be brought first; says which and where to put it
    │   └── RunFolder          a run folder that cannot be read, written or resumed
    └── StrictFailure          a claim or a check failed under --strict; a command exits with 1

Anything else that escapes is a fault of ours and keeps its traceback.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class AdvgenError(Exception):
    """Root of the tree."""

    exit_code = 2


class UserError(AdvgenError):
    """What the caller gave cannot be used: one sentence with what was got, what was expected, what to do."""


class UnknownName(UserError):
    """A name that nothing answers to."""

    @classmethod
    def among(cls, kind: str, name: str, known: Iterable[str], remedy: str = "") -> "UnknownName":
        """The sentence for `name`, with the nearest of `known`; `remedy` says where to see all of them."""
        names = sorted(known)
        near = get_close_matches(name, names, n=1, cutoff=0.5) or [n for n in names if name and name in n][:1]
        if near:
            hint = f"did you mean {near[0]!r}?"
        elif names:
            shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
            hint = f"known: {shown}."
        else:
            hint = "there are none."
        return cls(f"unknown {kind} {name!r}: {hint}" + (f" {remedy}" if remedy else ""))


class BadArgument(UserError):
    """A value of the wrong kind or outside its range."""


class BadFile(UserError):
    """A file that is not what it should be."""


class MissingFile(UserError):
    """A file that must be brought first."""


class RunFolder(UserError):
    """A run folder that cannot be read, written or resumed."""


class StrictFailure(AdvgenError):
    """A claim or a check failed under --strict."""

    exit_code = 1
