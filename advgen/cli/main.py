"""The `advgen` command: finds its commands as files beside it and imports only the one that is run.

A command is a file `advgen/cli/NAME.py` with a click command called `command`; the first line of the file's docstring
is its line in `advgen --help`. Exit codes: 0 done, 1 a claim or check failed under --strict, 2 bad input,
130 interrupted.
"""

import ast
import errno
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from advgen import __version__
from advgen.core.errors import AdvgenError, UnknownName

BROKEN_PIPE = 141  # as a shell reports SIGPIPE: the reader left, so the work may not be done
NOT_OURS = {
    errno.ENOSPC: "no space left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EFBIG: "the file would grow too large",
    errno.ENAMETOOLONG: "the file name is too long",
}


class LazyGroup(click.Group):
    """A group that knows its commands by their files."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_files())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _files():
            return None
        module = importlib.import_module(f"advgen.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args[0] not in _files():
            raise UnknownName.among("command", args[0], _files(), "See `advgen --help`.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary_of(file)) for name, file in sorted(_files().items())])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="\b\nExamples:\n  advgen demo\n  advgen list attacks\n  advgen show image/pgd",
)
@click.version_option(__version__, prog_name="advgen")
def advgen() -> None:
    """Multimodal adversarial robustness: attacks, defenses, and numbers judged on the saved image."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; a fault of the user's is one sentence on stderr, a fault of ours keeps its traceback."""
    args = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    try:
        try:
            with advgen.make_context("advgen", args) as context:
                advgen.invoke(context)
        finally:
            sys.stdout.flush()
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except AdvgenError as error:
        _say(str(error))
        return error.exit_code
    except click.ClickException as error:
        _say(_usage_sentence(error))
        return error.exit_code if error.exit_code != 1 else 2
    except (KeyboardInterrupt, click.Abort):
        _say("interrupted; what is done is kept.")
        return 130
    except BrokenPipeError:
        _silence_stdout()
        return BROKEN_PIPE
    except OSError as error:
        if error.errno not in NOT_OURS:
            raise
        _silence_stdout()
        where = f": {error.filename}" if error.filename else ""
        _say(f"{NOT_OURS[error.errno]}{where}.")
        return 2
    return 0


def summary_of(file: Path) -> str:
    """The first docstring line of a command's file, read without importing it."""
    return (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").partition("\n")[0]


def _files() -> dict[str, Path]:
    folder = Path(__file__).parent
    return {
        f.stem.replace("_", "-"): f
        for f in folder.glob("*.py")
        if not f.name.startswith("_") and f.name != Path(__file__).name
    }


def _usage_sentence(error: click.ClickException) -> str:
    sentence = error.format_message()
    if isinstance(error, click.UsageError) and error.ctx is not None:
        sentence += f" See `{error.ctx.command_path} --help`."
    return sentence


def _say(sentence: str) -> None:
    print(f"advgen: {sentence}", file=sys.stderr)


def _silence_stdout() -> None:
    """Python flushes stdout once more at its end, and would complain again there."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # stdout is no file, in a test or a notebook
        return


if __name__ == "__main__":
    sys.exit(main())
