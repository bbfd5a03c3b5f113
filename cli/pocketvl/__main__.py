"""`python -m pocketvl` is `pocketvl`."""

from pocketvl.cli.main import main

main()
