"""`python -m lerf_wild.cli` is `lerf-wild`."""

from lerf_wild.cli import main

main()
