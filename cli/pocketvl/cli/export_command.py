"""The call of `pocketvl export` as a bundle records it: what was given, without this machine's folders."""

import shlex
from pathlib import Path
from typing import Any

import typer

from pocketvl.export.checkpoint.source import reported_name

_MODEL = "model"
_REVISION = "revision"  # may have slashes, as in refs/pr/1


def export_command(context: typer.Context) -> str:
    """Made of the values that were read, so that `-o FOLDER`, `-oFOLDER` and `--output=FOLDER` are one."""
    words = ["pocketvl", "export"]
    for parameter in context.command.params:
        if _is_given(context, parameter.name):
            words += _words(parameter, context.params[parameter.name])
    return shlex.join(words)


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _words(parameter: Any, value: Any) -> list[str]:
    if parameter.name == _MODEL:
        return [reported_name(value)]
    option = parameter.opts[0]
    if parameter.is_flag:
        return [option]
    values = value if isinstance(value, list | tuple) else [value]
    if parameter.name == _REVISION:
        return [option, str(value)]
    return [word for one in values for word in (option, _without_folders(one))]


def _without_folders(value: Any) -> str:
    """Every value, whatever its option takes: only paths have a slash."""
    return Path(str(value)).name or str(value)
