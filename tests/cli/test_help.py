"""What --help shows is what the options say: rich must not take a default in brackets for its markup."""

import pytest
import typer
from typer.testing import CliRunner

from pocketvl.cli.app import app

COMMANDS = typer.main.get_group(app).commands


@pytest.mark.parametrize("name", list(COMMANDS))
def test_the_whole_text_of_every_option_is_shown(name: str) -> None:
    shown = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "600"}).output
    parameters = COMMANDS[name].params
    assert parameters
    for parameter in parameters:
        said = getattr(parameter, "help", None)
        assert said, parameter.name
        assert " ".join(said.replace("`", "").split()) in " ".join(shown.replace("`", "").split())
