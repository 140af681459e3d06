"""Installs, upgrades, goes back and removes under wine: `python -m installer.windows.wine.trial OLD NEW WORK DLLS`.

Every step says what it saw; the first that saw something else ends it with 1. The centre is a real one, on this
machine.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen, run
from typing import Any, Final

from installer.windows.wine.prefix import Prefix
from installer.windows.wxs import ACCOUNT, MESSAGES, SERVICE

SERVICE_KEY: Final = rf"HKLM\System\CurrentControlSet\Services\{SERVICE}"
EVENTS_KEY: Final = rf"HKLM\System\CurrentControlSet\Services\EventLog\Application\{SERVICE}"
PATH_KEY: Final = r"HKLM\System\CurrentControlSet\Control\Session Manager\Environment"
PAGE: Final = ("127.0.0.1", 8787)
COMMAND: Final = r"C:\Program Files\Tillside\tillside.cmd"
# A machine that does other things besides; on a quiet one it is seconds.
UP_WITHIN_S: Final = 240.0
SCRIPTS: Final = Path(sys.executable).parent
MEMBER: Final = {"code": "TS10015857B", "kind": "card", "entry": "scanned"}
# What this till adds to the settings of the package.
TILL: Final = """
[register]
currency = "EUR"
time_zone = "Europe/Vienna"

[[receipts]]
name = "pos"
webhook = true
"""


class OtherwiseError(Exception):
    """A step saw something else than it should have."""


class Trial:
    """One prefix and one centre, for all steps."""

    def __init__(self, prefix: Prefix, centre: Path) -> None:
        self.prefix, self._centre = prefix, centre
        self.program = prefix.drive / "Program Files" / "Tillside"
        self.data = prefix.drive / "ProgramData" / "Tillside"
        self._token, self._posted = "", 0

    def expect(self, what: str, seen: object, wanted: object = True) -> None:
        if seen != wanted:
            raise OtherwiseError(f"{what}: {seen!r}, not {wanted!r}")
        print(f"  {what}", flush=True)

    def until(self, what: str, look: Callable[[], bool]) -> None:
        """Waits until it is so, and says after how many seconds."""
        began = time.monotonic()
        while not look():
            if time.monotonic() - began > UP_WITHIN_S:
                raise OtherwiseError(f"{what}: not within {UP_WITHIN_S:.0f} s; {self._log()}")
            time.sleep(0.25)
        print(f"  {what} ({time.monotonic() - began:.1f} s)", flush=True)

    def installer(self, *arguments: str) -> None:
        began = time.monotonic()
        code, said = self.prefix.run("wine", "msiexec", *arguments, "/qn")
        self.expect(f"msiexec {arguments[0]}: 0", (code, said if code else ""), (0, ""))
        print(f"  ({time.monotonic() - began:.0f} s)", flush=True)

    def status(self) -> dict[str, Any]:
        """What `tillside status --json` says there, by the command as it was installed."""
        _, said = self.prefix.run("wine", "cmd", "/c", COMMAND, "status", "--json")
        return dict(json.loads(said.strip().splitlines()[-1])) if "{" in said else {}

    def answers(self) -> bool:
        try:
            self._asked("GET", "/openapi.json", "", {})
        except (OSError, HTTPException):
            return False
        return True

    def _asked(self, method: str, path: str, body: str, heads: dict[str, str]) -> bytes:
        with closing(HTTPConnection(*PAGE, timeout=30)) as connection:
            connection.request(method, path, body, heads)
            return connection.getresponse().read()

    def post(self, number: str) -> None:
        """A receipt by the POS's own way in."""
        if not self._token:
            _, said = self.prefix.run("wine", "cmd", "/c", COMMAND, "pos-token", "--json")
            self._token = json.loads(said.strip().splitlines()[-1])["token"]
        now = datetime.now(UTC)
        receipt = {"kind": "sale", "number": number, "currency": "EUR", "total_minor": 7999, "member": MEMBER}
        body = json.dumps(
            {**receipt, "business_day": f"{now:%Y-%m-%d}", "issued_at": now.isoformat(timespec="seconds")}
        )
        heads = {
            "Authorization": f"Bearer {self._token}",
            "Idempotency-Key": number,
            "Content-Type": "application/json",
        }
        answer = json.loads(self._asked("POST", "/v1/receipts", body, heads))
        fates = [each["fate"] for each in answer.get("receipts", ())]
        self.expect(f"receipt {number} is taken", fates or answer, ["booked"])
        self._posted += 1
        self.until("the centre has it", lambda: self._receipts() == self._posted)

    def _receipts(self) -> int:
        """How many receipts the centre has."""
        command = (SCRIPTS / "tillside-central", "ledger", "check", "--data", self._centre, "--json")
        return int(json.loads(run(command, check=False, stdout=PIPE).stdout)["receipts"])

    def code(self) -> str:
        told = run(
            [
                SCRIPTS / "tillside-central",
                "enrolment",
                "create",
                "--data",
                self._centre,
                "--store",
                "9",
                "--register",
                "*",
                "--json",
            ],
            check=True,
            stdout=PIPE,
        )
        return str(json.loads(told.stdout)["code"])

    def is_installed(self, version: str) -> None:
        """All that the package promises of one version, and of no other."""
        self.expect(
            f"only {version} is there", sorted(path.name for path in self.program.iterdir()), [version, "tillside.cmd"]
        )
        python = rf"C:\Program Files\Tillside\{version}\python\python.exe"
        started = self.prefix.value(SERVICE_KEY, "ImagePath") or ""
        self.expect("the service starts it", python in started and r"ProgramData\Tillside\tillside.toml" in started)
        self.expect("the service starts by itself", self.prefix.value(SERVICE_KEY, "Start"), "0x2")
        self.expect(f"the service is {ACCOUNT}", self.prefix.value(SERVICE_KEY, "ObjectName"), ACCOUNT)
        self.expect("the event source is there", self.prefix.value(EVENTS_KEY, "EventMessageFile"), MESSAGES)
        self.expect("the command is on the PATH", "Tillside" in (self.prefix.value(PATH_KEY, "PATH") or ""))
        compiled = len(list((self.program / version / "lib").rglob("*.pyc")))
        self.expect("its libraries are compiled", compiled > 1000)
        self.until("the page's port answers", self.answers)
        self.expect("it is this version", self.status()["versions"]["tillside"], version)

    def is_gone(self) -> None:
        self.expect("Program Files has nothing of it", self.program.exists(), False)
        self.expect("the service is gone", self.prefix.value(SERVICE_KEY, "ImagePath"), None)
        self.expect("the event source is gone", self.prefix.value(EVENTS_KEY, "EventMessageFile"), None)
        self.expect("the PATH is as before", "Tillside" in (self.prefix.value(PATH_KEY, "PATH") or ""), False)
        self.until("the port is closed", lambda: not self.answers())

    def _log(self) -> str:
        file = self.data / "logs" / "agent.log"
        return file.read_text("utf-8")[-2000:] if file.exists() else "the service wrote no log"


def steps(trial: Trial, old: Path, new: Path) -> Iterator[str]:
    """Each step's name, before it is done."""
    old_version, new_version = (path.name.split("-")[1] for path in (old, new))
    if trial.answers():  # wine's programs have this machine's network
        raise OtherwiseError(f"somebody listens at {PAGE[0]}:{PAGE[1]} already: end what does, and try again")
    code = trial.prefix.drive / "code.txt"
    code.write_text(trial.code())

    yield f"Install {old_version} silently, with a code to enrol"
    trial.installer("/i", f"Z:{old}", r"ENROLMENT_FILE=C:\code.txt", "REGISTER=1")
    trial.is_installed(old_version)
    trial.until("it is enrolled, and healthy", lambda: trial.status().get("verdict") == "healthy")
    device = trial.status()["device"]

    yield "Set it up, stop and start the service, and sell"
    with (trial.data / "tillside.toml").open("a") as settings:
        settings.write(TILL)
    trial.expect("it stops", trial.prefix.run("wine", "net", "stop", SERVICE)[0], 0)
    trial.until("the port is closed", lambda: not trial.answers())
    trial.expect("it starts", trial.prefix.run("wine", "net", "start", SERVICE)[0], 0)
    trial.until("the page's port answers", trial.answers)
    trial.post("4711")

    yield f"Upgrade to {new_version}"
    trial.installer("/i", f"Z:{new}")
    trial.is_installed(new_version)
    trial.post("4712")
    trial.expect("it is the same register", trial.status()["device"], device)

    yield f"Go back to {old_version}"
    trial.installer("/i", f"Z:{old}")
    trial.is_installed(old_version)
    trial.post("4713")

    yield "Uninstall"
    trial.installer("/x", f"Z:{old}")
    trial.is_gone()
    kept = {path.name for path in trial.data.iterdir()}
    trial.expect("settings, state and log stayed", kept, {"tillside.toml", "state", "logs"})

    yield "Install again, and uninstall with PURGE=1"
    trial.installer("/i", f"Z:{new}")
    trial.is_installed(new_version)
    trial.expect("it is the same register", trial.status()["device"], device)
    trial.installer("/x", f"Z:{new}", "PURGE=1")
    trial.is_gone()
    trial.expect("nothing of it is left", trial.data.exists(), False)


def main(old: Path, new: Path, work: Path, libraries: Path) -> int:
    """Exit codes: 0 all was as it should be, 1 something was not."""
    centre = work / "centre"
    central = SCRIPTS / "tillside-central"
    run(
        [central, "init", "--data", centre, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"],
        check=True,
        stdout=DEVNULL,
    )
    prefix = Prefix(work / "wine")
    with Popen([central, "serve", "--data", centre, "--json"], stdout=PIPE, stderr=DEVNULL) as serving:
        assert serving.stdout is not None  # noqa: S101 - a pipe was asked for
        serving.stdout.readline()
        try:
            prefix.make(libraries)
            for step in steps(Trial(prefix, centre), old, new):
                print(step, flush=True)
        except OtherwiseError as error:
            print(f"Otherwise: {error}", file=sys.stderr)
            return 1
        finally:
            prefix.end()
            serving.terminate()
    print("All was as it should be.")
    return 0


if __name__ == "__main__":
    sys.exit(main(*(Path(each).resolve() for each in sys.argv[1:])))
