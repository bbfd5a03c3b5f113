"""The commands, and the one place where errors become a sentence and an exit status."""

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer

from pocketvl.cli.ask import ask
from pocketvl.cli.bench import bench
from pocketvl.cli.chat import chat
from pocketvl.cli.console import error
from pocketvl.cli.demo import demo
from pocketvl.cli.evaluate import evaluate
from pocketvl.cli.export import export
from pocketvl.cli.inspect import inspect
from pocketvl.cli.live import live
from pocketvl.cli.recipe import recipe
from pocketvl.cli.serve import serve
from pocketvl.cli.sweep import sweep
from pocketvl.cli.verify import verify
from pocketvl.runtime.errors import PocketVLError
from pocketvl.runtime.quiet import quiet_libraries

app = typer.Typer(
    name="pocketvl",
    help="Put Qwen2-VL into a phone app: export, run, measure.  --debug anywhere shows tracebacks.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
for command in (export, recipe, ask, chat, live, serve, inspect, verify, bench, evaluate, sweep, demo):
    app.command()(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pocketvl {version('pocketvl')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Exit status: 0 done, 1 failed, 2 wrong usage."""


def run(arguments: Sequence[str]) -> NoReturn:
    """Run the command line and leave with its exit status."""
    debug = "--debug" in arguments
    if not debug:
        quiet_libraries()
    try:
        app([word for word in arguments if word != "--debug"], prog_name="pocketvl")
    except SystemExit as leaving:
        status = leaving.code
    except BrokenPipeError:  # the reader of our output left, as `| head` does
        status = 1
    except Exception as failure:
        if debug:
            raise
        status = failure.exit_status if isinstance(failure, PocketVLError) else 1
        error(_sentence(failure))
    raise SystemExit(_flushed(status))


def _sentence(failure: Exception) -> str:
    match failure:
        case PocketVLError():
            return str(failure)
        case OSError():
            reason = failure.strerror or str(failure)
            if failure.filename is None:
                return (
                    f"Reading or writing failed: {reason}. Check where the output goes and the space there."
                )
            return f"{failure.filename}: {reason}. Check the path, its permissions and the space there."
        case MemoryError():
            return "Memory ran out; close other programs or choose a smaller model or recipe."
    return f"{type(failure).__name__}: {failure} (unexpected; --debug shows where, please report it)"


def _flushed(status: int | str | None) -> int | str | None:
    """The status, or 1 if the output cannot be written: a full disk may show no sooner."""
    try:
        sys.stdout.flush()
    except OSError as failure:
        if not isinstance(failure, BrokenPipeError):
            error(f"The output cannot be written ({failure.strerror}).")
        # What is still in the buffer would fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    return status
