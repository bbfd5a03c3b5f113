"""The options of `pocketvl export` for `optimum-cli export pocketvl`, which knows argparse only."""

from argparse import SUPPRESS, ArgumentParser, Namespace
from typing import Any

import typer

from pocketvl.cli.export import export

_MODEL, _OUTPUT = "model", "output"


def add_options(parser: ArgumentParser) -> None:
    """Give the parser every option of `pocketvl export`, values unread; as in optimum's other commands the
    model is an option and the folder stands alone."""
    for parameter in _parameters():
        if parameter.name == _MODEL:
            parser.add_argument("-m", "--model", dest=_MODEL, required=True, help=_help(parameter))
        elif parameter.name == _OUTPUT:
            parser.add_argument(_OUTPUT, help=_help(parameter))
        elif parameter.is_flag:
            parser.add_argument(
                *parameter.opts,
                dest=parameter.name,
                action="store_true",
                default=SUPPRESS,
                help=_help(parameter),
            )
        else:
            parser.add_argument(
                *parameter.opts,
                dest=parameter.name,
                action="append",  # of an option that may be given once, too: our own parser judges that
                default=SUPPRESS,
                help=_help(parameter),
            )


def command_words(values: Namespace) -> list[str]:
    """The call of `pocketvl` that means what the parser has read."""
    words = ["export", values.model, "--output", values.output]
    for parameter in _parameters():
        given = getattr(values, parameter.name, None)
        if given is None or parameter.name in (_MODEL, _OUTPUT):
            continue
        option = parameter.opts[0]
        words += [option] if parameter.is_flag else [word for value in given for word in (option, value)]
    return words


def _parameters() -> list[Any]:
    app = typer.Typer(add_completion=False)
    app.command()(export)
    return [parameter for parameter in typer.main.get_command(app).params if parameter.name != "help"]


def _help(parameter: Any) -> str:
    """argparse takes % for a placeholder; values that typer would show are said here."""
    shown = parameter.help or ""
    if parameter.default is not None and not getattr(parameter, "is_flag", False):
        shown += f"  [default: {parameter.default}]"
    return str(shown).replace("%", "%%")
