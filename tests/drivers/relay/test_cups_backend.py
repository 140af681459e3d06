"""The backend as CUPS runs it: the script, with a backend of ours behind it."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from drivers.receipts.spool_source import SpooledJob, SpoolPosition, SpoolReader
from drivers.relay.cups_backend import become_owner_of
from tests.drivers.star.composer import line_mode_receipt

SCRIPT = Path(__file__).parents[3] / "installer" / "cups" / "tillside-backend"
CUT = b"\x1dVB\x00"
RECEIPT = b"\x1b@" + b"MLEKO 2,8% 1L              159,99\n" * 40 + CUT
JOB = ["41", "savka", "Receipt 4711", "1", "fit-to-page"]
# Prints into the file that its URI names, says on its back channel what it is, and ends as it is told.
NEXT = f"""#!{sys.executable}
import os, sys, time
paper, _, code = os.environ["DEVICE_URI"].removeprefix("fake:").partition("?")
with open(paper, "ab", buffering=0) as file:
    while data := os.read(0, 65536):
        file.write(data)
        if code == "jam":
            sys.exit(1)
os.write(3, repr(sys.argv[1:]).encode())
print("INFO: printed", file=sys.stderr)
if code == "wait":
    time.sleep(60)
sys.exit(int(code or 0))
"""
# Becomes the backend, with its back channel where CUPS has it.
WITH_BACK_CHANNEL = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.execv(sys.argv[2], sys.argv[2:])"


@dataclass(frozen=True, kw_only=True)
class Printed:
    """What CUPS sees of one run: its exit code, standard error, and the back channel."""

    code: int
    said: str
    back: bytes


class Cups:
    """A machine with CUPS, as far as a backend knows it."""

    def __init__(self, folder: Path) -> None:
        self.paper = folder / "paper"
        self.spools = folder / "spools"
        self.spools.mkdir()
        self.backends = folder / "lib" / "backend"
        self.backends.mkdir(parents=True)
        (self.backends / "fake").write_text(NEXT)
        (self.backends / "fake").chmod(0o755)

    def environ(self, uri: str) -> dict[str, str]:
        return {
            **os.environ,
            "DEVICE_URI": uri,
            "PRINTER": "till",
            "CUPS_SERVERBIN": str(self.backends.parent),
            "TILLSIDE_CUPS_SPOOL": str(self.spools),
            "TILLSIDE_PYTHON": sys.executable,
        }

    def print(self, job: bytes, *arguments: str, uri: str = "", code: str = "") -> Printed:
        uri = uri or f"tillside:fake:{self.paper}?{code}"
        ours, theirs = os.pipe()
        run = subprocess.run(
            [sys.executable, "-c", WITH_BACK_CHANNEL, str(theirs), str(SCRIPT), *(arguments or JOB)],
            input=job,
            capture_output=True,
            check=False,
            env=self.environ(uri),
            pass_fds=(theirs,),
            timeout=60,
        )
        os.close(theirs)
        with os.fdopen(ours, "rb") as answers:
            return Printed(code=run.returncode, said=run.stderr.decode(), back=answers.read())

    def jobs(self) -> list[SpooledJob]:
        return SpoolReader(self.spools / "till").read_after(SpoolPosition())


@pytest.fixture
def cups(tmp_path: Path) -> Cups:
    return Cups(tmp_path)


def test_asked_for_devices_it_names_itself() -> None:
    listed = subprocess.run(
        [str(SCRIPT)], check=True, capture_output=True, text=True, env={**os.environ, "TILLSIDE_PYTHON": sys.executable}
    ).stdout

    assert [line.split()[:2] for line in listed.splitlines()] == [["direct", "tillside"], ["direct", "tillside-star"]]


def test_a_job_is_printed_unchanged_kept_and_answered_as_by_the_backend_behind(cups: Cups) -> None:
    printed = cups.print(RECEIPT + RECEIPT)

    assert cups.paper.read_bytes() == RECEIPT + RECEIPT
    assert (printed.code, printed.said) == (0, "INFO: printed\n")
    assert printed.back.decode() == repr(JOB)
    assert [(job.payload, job.ended_by) for job in cups.jobs()] == [(RECEIPT, "cut"), (RECEIPT, "cut")]


def test_each_job_of_a_queue_goes_on_in_its_folder(cups: Cups) -> None:
    for number in range(3):
        assert cups.print(b"receipt %d" % number).code == 0

    assert [job.payload for job in cups.jobs()] == [b"receipt %d" % number for number in range(3)]


def test_a_file_is_printed_as_often_as_there_are_copies(cups: Cups, tmp_path: Path) -> None:
    (tmp_path / "job").write_bytes(RECEIPT)

    printed = cups.print(b"", *JOB[:3], "3", JOB[4], str(tmp_path / "job"))

    assert printed.code == 0
    assert cups.paper.read_bytes() == RECEIPT * 3
    assert [job.payload for job in cups.jobs()] == [RECEIPT] * 3


def test_a_star_printers_jobs_end_at_its_own_cuts(cups: Cups) -> None:
    receipts = line_mode_receipt() * 2

    assert cups.print(receipts, uri=f"tillside-star:fake:{cups.paper}").code == 0

    assert cups.paper.read_bytes() == receipts
    assert [job.payload for job in cups.jobs()] == [line_mode_receipt()] * 2


@pytest.mark.parametrize(("told", "code"), [("4", 4), ("7", 7), ("99", 1), ("jam", 1)])
def test_the_exit_code_is_that_of_the_backend_behind(cups: Cups, told: str, code: int) -> None:
    assert cups.print(RECEIPT, code=told).code == code
    assert [job.payload for job in cups.jobs()] == [RECEIPT]


def test_what_cannot_be_printed_through_stops_the_queue_and_says_why(cups: Cups) -> None:
    nowhere = cups.print(RECEIPT, uri="tillside:nobody://x")
    bare = cups.print(RECEIPT, uri="tillside")
    odd = cups.print(RECEIPT, "1", "savka")

    assert [run.code for run in (nowhere, bare, odd)] == [4, 4, 4]
    assert "ERROR: CUPS has no backend" in nowhere.said
    assert "write the device URI as tillside:URI" in bare.said
    assert "is called with job" in odd.said


def test_without_a_place_for_its_copy_a_job_prints_and_cups_hears_why(cups: Cups) -> None:
    cups.spools.rmdir()
    cups.spools.write_bytes(b"")

    printed = cups.print(RECEIPT)

    assert printed.code == 0
    assert cups.paper.read_bytes() == RECEIPT
    assert "ERROR: spool_refused: receipts print" in printed.said


def test_a_job_that_cups_cancels_ends_the_backend_behind(cups: Cups) -> None:
    run = subprocess.Popen(
        [str(SCRIPT), *JOB],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=cups.environ(f"tillside:fake:{cups.paper}?wait"),
    )
    assert run.stdin is not None
    run.stdin.write(RECEIPT)
    run.stdin.close()
    while not (cups.paper.exists() and cups.paper.read_bytes() == RECEIPT):
        assert run.poll() is None
    run.send_signal(signal.SIGTERM)

    assert run.wait(30) == 1
    assert [job.payload for job in cups.jobs()] == [RECEIPT]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_from_root_it_becomes_whom_the_copies_belong_to(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    os.chown(tmp_path, nobody.pw_uid, nobody.pw_gid)
    child = os.fork()
    if child == 0:
        become_owner_of(tmp_path)
        os._exit(0 if (os.getresuid(), os.getresgid()) == ((nobody.pw_uid,) * 3, (nobody.pw_gid,) * 3) else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert os.geteuid() == 0
