"""`pocketvl`: the commands, and the one place where errors become a sentence and an exit status."""

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer

from pocketvl.cli.ask import ask
from pocketvl.cli.bench import bench
from pocketvl.cli.chat import chat
from pocketvl.cli.console import error
from pocketvl.cli.demo import demo
from pocketvl.cli.evaluate import evaluate
from pocketvl.cli.export import export
from pocketvl.cli.inspect import inspect
from pocketvl.cli.recipe import recipe
from pocketvl.cli.sweep import sweep
from pocketvl.cli.verify import verify
from pocketvl.runtime.errors import PocketVLError
from pocketvl.runtime.quiet import quiet_libraries

app = typer.Typer(
    name="pocketvl",
    help="Put Qwen2-VL into a phone app: export, run, measure.  --debug anywhere shows tracebacks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (export, recipe, ask, chat, inspect, verify, bench, evaluate, sweep, demo):
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


def _open_closed_streams() -> None:
    """Started as `2>&-` Python has None for the stream, which libraries write to without a look."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit status."""
    _open_closed_streams()
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    if not debug:
        quiet_libraries()
    try:
        app([word for word in words if word != "--debug"])
    except PocketVLError as failure:
        if debug:
            raise
        error(str(failure))
        raise SystemExit(failure.exit_status) from None
    except BrokenPipeError:  # the reader of our output left, as `| head` does
        raise SystemExit(1) from None
    except Exception as failure:
        if debug:
            raise
        error(f"{type(failure).__name__}: {failure} (unexpected; --debug shows where, please report it)")
        raise SystemExit(1) from None
