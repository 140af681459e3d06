"""The identification rules by which a shared scanner's codes are told apart, and the judging of one code.

Owns `identification.json`, which the agent writes into the scans' folder, read again whenever it has changed, in a
thread of its own: a disk that hangs delays no code. What cannot be read leaves the rules as they were. Never
writes it, and never opens anything in its place that is no plain file.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from drivers.relay.announce import Announcer
from drivers.relay.arguments import ToPos
from drivers.relay.scanner_passage import Verdict
from drivers.relay.status import ScannerFigures, StatusFile
from drivers.scanning.own_codes import is_own_code
from drivers.scanning.receipt_codes import names_receipt
from drivers.scanning.scan import Scan, parse_scan
from loyalty.identification import IdentificationRule
from loyalty.identification_checks import RulesError
from loyalty.identification_json import MAX_JSON_BYTES, rules_from_json
from loyalty.pan import first_pan

RULES_NAME: Final = "identification.json"
# New rules are in force that soon.
LOOK_EVERY_S: Final = 1.0
# At the start the first codes are to be judged by rules, but no scanner waits longer for a disk.
FIRST_LOOK_WITHIN_S: Final = 1.0

_Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _InForce:
    rules: tuple[IdentificationRule, ...] = ()
    withheld: frozenset[str] = frozenset()  # names of the rules whose codes the POS does not get


class RulesInForce:
    """The rules as they are now, for the event loop to ask; a thread keeps them up to date."""

    def __init__(
        self, folder: Path, *, to_pos: ToPos, status: StatusFile[ScannerFigures], announcer: Announcer
    ) -> None:
        self._path = folder / RULES_NAME
        self._to_pos = to_pos
        self._status = status
        self._announcer = announcer
        self._version: _Version | None = None
        self._in_force = _InForce()
        self._looked = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rules", daemon=True)

    def may_withhold(self) -> bool:
        """Whether there is any code that the POS would not get."""
        return bool(self._in_force.withheld)

    def judge(self, code: bytes | str) -> Verdict:
        """What is done with a code: kept for the agent if it may be a member's, withheld if a rule says that it is.

        One that a rule would claim but for its check digit is kept, for the page to ask for another scan, and the
        POS has it too; so is the code of a fiscal receipt. Payment cards and goods are never kept. A code that enrols a
        register, or grants it points, is the agent's alone, whatever the rules.
        """
        now = self._in_force
        scan = parse_scan(code, now.rules)
        if is_own_code(scan):
            return Verdict(keep=_kept(code, scan), withhold=True)
        if "payment_card" in scan.problems:
            return Verdict()
        if scan.identifier is None or scan.member is None:
            return Verdict(keep=_kept(code, scan) if scan.misread or names_receipt(scan) else None)
        return Verdict(keep=_kept(code, scan), withhold=scan.identifier.rule in now.withheld)

    def start(self) -> None:
        self._thread.start()
        self._looked.wait(FIRST_LOOK_WITHIN_S)

    def close(self) -> None:
        self._ending.set()

    def look(self) -> None:
        """Take the file's rules if it has changed. Raises nothing for what is in it or in its place."""
        try:
            version = self._seen()
            if version is None or version == self._version:
                return
            self._version = version
            self._put_in_force(rules_from_json(self._read()))
        except (OSError, RulesError) as error:
            self._version = None if isinstance(error, OSError) else self._version
            self._unreadable(error)

    def _run(self) -> None:
        while True:
            try:
                self.look()
            except Exception as error:  # noqa: BLE001  the next file may be better
                self._unreadable(error)
            self._looked.set()
            if self._ending.wait(LOOK_EVERY_S):
                return

    def _seen(self) -> _Version | None:
        """What tells this file from the one before; None while there is none: then the last rules stay."""
        try:
            facts = self._path.lstat()
        except FileNotFoundError:
            return None
        return facts.st_mtime_ns, facts.st_ino, facts.st_size

    def _read(self) -> bytes:
        handle = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise OSError(f"{self._path} is no plain file")
        with os.fdopen(handle, "rb") as file:
            return file.read(MAX_JSON_BYTES + 1)

    def _put_in_force(self, rules: Sequence[IdentificationRule]) -> None:
        withheld = frozenset(rule.name for rule in rules if rule.kind != "goods" and not rule.to_pos)
        self._in_force = _InForce(rules=tuple(rules), withheld=withheld if self._to_pos == "others" else frozenset())
        with self._status.changing() as figures:
            figures.rules = len(rules)
            figures.rules_trouble = ""
        self._announcer.say(
            "info", "rules_in_force", "codes are told apart by the rules of the agent", rules=len(rules)
        )

    def _unreadable(self, error: Exception) -> None:
        reason = str(error).replace("\n", "; ")
        with self._status.changing() as figures:
            was, figures.rules_trouble = figures.rules_trouble, reason
        if was != reason:
            self._announcer.say(
                "error",
                "rules_unreadable",
                f"{self._path} cannot be used, so the rules stay as they were: {reason}",
            )


def _kept(code: bytes | str, scan: Scan) -> bytes:
    """The code as it came, for the agent to read it anew. Where more was swiped with a member's number, and it looks
    like a payment card's, only the member's.
    """
    raw = code.encode() if isinstance(code, str) else code
    return raw if first_pan(raw.decode(errors="replace")) is None else (scan.aim + scan.text).encode()
