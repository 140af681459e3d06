"""Which identification rules are in force at this register, the moment they are.

Owns the order of the settings' rules and the centre's, and the file by which the relay of a shared scanner learns
them. Never reads a symbol (`drivers.scanning` does) and never fetches a rule.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from agent.inspection import RulesInForce
from drivers.scanning.scan import Scan, parse_scan
from loyalty.identification import MAX_RULES, IdentificationRule
from loyalty.identification_json import rules_json
from sync.durable import sync_folder

FILE_NAME = "identification.json"
# The relay may run as another user of the same group; nobody else has to know what a shop's cards look like.
FILE_MODE = 0o640


class RulesNotHandedOverError(OSError):
    """A shared scanner's relay cannot be told the rules. The message names the folder and the remedy."""


class Recognition:
    """The rules in force: the settings' first, then the centre's that have a name of their own."""

    def __init__(self, own: Sequence[IdentificationRule]) -> None:
        self._own = tuple(own)
        self._central: tuple[IdentificationRule, ...] = ()
        self._rules = self._own
        self._waiting: set[asyncio.Event] = set()

    @property
    def rules(self) -> tuple[IdentificationRule, ...]:
        return self._rules

    @property
    def guesses(self) -> bool:
        """Whether a code that no rule claims may be taken for a card: nobody has said what the cards are."""
        return all(rule.kind == "goods" for rule in self._rules)

    @property
    def in_force(self) -> RulesInForce:
        return RulesInForce(settings=len(self._own), centre=len(self._rules) - len(self._own))

    @property
    def problem(self) -> str | None:
        """What of the rules needs a person."""
        left_out = len(self._own) + len(self._central) - len(self._rules)
        if not left_out:
            return None
        return (
            f"{left_out} of the centre's identification rules are not in force: with those of this register's settings "
            f"there are more than {MAX_RULES}; remove rules from the settings"
        )

    def parse(self, raw: bytes | str) -> Scan:
        """The scan that `raw` is by the rules in force now: what drivers are given."""
        return parse_scan(raw, self._rules)

    def use_central(self, rules: Sequence[IdentificationRule]) -> None:
        """Puts the centre's rules in force in place of those before. A rule of the settings replaces its namesake."""
        names = {rule.name for rule in self._own}
        self._central = tuple(rule for rule in rules if rule.name not in names)
        self._rules = (*self._own, *self._central)[:MAX_RULES]
        for event in self._waiting:
            event.set()

    async def hand_over(self, folder: Path, ready: Callable[[], None]) -> None:
        """Keeps the rules' file in a scans spool current, until cancelled. Raises RulesNotHandedOverError."""
        changed = asyncio.Event()
        self._waiting.add(changed)
        try:
            while True:
                changed.clear()
                await asyncio.to_thread(_write, folder, rules_json(self._rules))
                ready()
                await changed.wait()
        finally:
            self._waiting.discard(changed)


def _write(folder: Path, content: bytes) -> None:
    """Whole or not at all, whatever stands there: the folder is the relay's too."""
    beside = folder / f".{FILE_NAME}.new"
    try:
        with suppress(FileNotFoundError):
            beside.unlink()
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            beside.chmod(FILE_MODE)  # whatever the umask
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        beside.replace(folder / FILE_NAME)
        sync_folder(folder)
    except FileNotFoundError as error:
        raise RulesNotHandedOverError(
            f"the folder {folder} is not there: start the relay that carries this scanner, which makes it"
        ) from error
    except OSError as error:
        raise RulesNotHandedOverError(
            f"the identification rules cannot be written to {folder} ({error.strerror}): check its owner and mode and "
            "the room on its disk; until then its relay goes by the rules before"
        ) from error
