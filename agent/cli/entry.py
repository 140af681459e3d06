"""The `tillside` entry point.

The two that run for years leave before the command line's own libraries are loaded: `relay` with nothing
but the standard library, since it stands between the POS and its printer, and `run` to spare every
register the memory.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command named on the command line and exit with its code."""
    if sys.argv[1:2] == ["relay"]:
        from drivers.relay.process import main as relay

        sys.exit(relay(sys.argv[2:]))
    if sys.argv[1:2] == ["run"]:
        from agent.cli.run import main as run

        sys.exit(run(sys.argv[2:]))
    from agent.cli.commands import app

    app(prog_name="tillside")


if __name__ == "__main__":
    main()
