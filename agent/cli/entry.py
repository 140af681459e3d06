"""The `tillside` entry point.

`relay` leaves before anything but the standard library is imported: it stands between the POS and its
printer and has to stay small.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command named on the command line and exit with its code."""
    if sys.argv[1:2] == ["relay"]:
        from drivers.relay.process import main as relay

        sys.exit(relay(sys.argv[2:]))
    from agent.cli.commands import app

    app()


if __name__ == "__main__":
    main()
