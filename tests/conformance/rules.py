"""How a failure reads: what the centre did, and which part of docs/protocol.md says otherwise."""

from __future__ import annotations

from typing import Literal, NoReturn

import pytest

PAGE = "docs/protocol.md"
Section = Literal[
    "transport",
    "compression",
    "signatures",
    "requests-that-come-again",
    "enrolment",
    "epochs",
    "the-chain",
    "kinds",
    "up",
    "where-a-batch-meets-what-is-there",
    "an-entry-that-is-too-large",
    "down",
    "changes",
    "scopes",
    "rows",
    "codes",
    "snapshots",
    "a-member-on-demand",
    "erasures",
    "live",
    "heartbeat",
    "allowances",
    "programs-item-maps-config",
    "the-centres-own-epoch",
    "limits",
]
"""The parts of the page that a failure may name, as links to them are written."""


def violated(section: Section, what: str) -> NoReturn:
    """Fail with what the centre did."""
    pytest.fail(f"{what}\n    see {PAGE}#{section}", pytrace=False)


def require(holds: object, section: Section, what: str) -> None:
    """Fail with `what` the centre did unless `holds`."""
    if not holds:
        violated(section, what)
