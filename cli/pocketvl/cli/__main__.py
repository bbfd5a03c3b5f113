"""`python -m pocketvl.cli` is `pocketvl`."""

from pocketvl.cli.main import main

main()
