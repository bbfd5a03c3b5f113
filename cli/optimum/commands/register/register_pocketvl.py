"""`optimum-cli export pocketvl`. Optimum imports every file of the namespace optimum.commands.register and
reads REGISTER_COMMANDS; no folder above this one may have an __init__.py."""

import os
import sys
from argparse import ArgumentParser

from optimum.commands.base import BaseOptimumCLICommand, CommandInfo
from optimum.commands.export.base import ExportCommand

from pocketvl.cli.optimum_options import add_options, command_words


class PocketvlExportCommand(BaseOptimumCLICommand):
    """`pocketvl export`, with the model as an option and the folder at the end."""

    COMMAND = CommandInfo(name="pocketvl", help="Export Qwen2-VL for phones: ExecuTorch, Core ML, ONNX.")

    @staticmethod
    def parse_args(parser: ArgumentParser) -> None:
        add_options(parser)

    def run(self) -> None:
        """Become `pocketvl export`: its signals, exit status and quiet start, none of optimum's imports."""
        os.execv(sys.executable, [sys.executable, "-P", "-m", "pocketvl.cli", *command_words(self.args)])


REGISTER_COMMANDS = [(PocketvlExportCommand, ExportCommand)]
