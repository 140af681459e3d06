"""What all tests stand on."""

from __future__ import annotations

import signal

from hypothesis import settings

from tests.postgres import postgres

__all__ = ["postgres"]

# How long an example takes says more of the machine's other work than of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# A shell's background jobs ignore Ctrl-C, and every process that they start does; the tests' own must not.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
