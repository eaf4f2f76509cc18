"""The `lerf-wild` command."""


def main() -> None:
    """Runs the command line."""
    raise SystemExit("lerf-wild: no command is installed yet")
