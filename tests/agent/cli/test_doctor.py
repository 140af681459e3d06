"""`tillside doctor` as a person at the till runs it, with a scanner on a real terminal."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import tty
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.cli.doctor import doctor_command
from agent.doctor.sheet import CODES, SheetCode

ROOT = Path(__file__).parents[3]


class Scanner:
    """A scanner's end of a terminal."""

    def __init__(self) -> None:
        self._ours, self._theirs = pty.openpty()
        tty.setraw(self._theirs)
        self.port = os.ttyname(self._theirs)

    def send(self, data: str) -> None:
        os.write(self._ours, data.encode())

    def close(self) -> None:
        os.close(self._ours)
        os.close(self._theirs)


@pytest.fixture
def scanner() -> Iterator[Scanner]:
    scanner = Scanner()
    yield scanner
    scanner.close()


def settings(folder: Path, *scanners: str) -> Path:
    file = folder / "tillside.toml"
    tables = "".join(f"[[scanners]]\n{each}\n" for each in scanners)
    file.write_text(f'[paths]\nstate = "state"\n{tables}', encoding="utf-8")
    return file


def doctor(config: Path, *, scan_test: bool = False, scanner: str | None = None, test_sheet: str | None = None) -> int:
    return doctor_command(test_sheet=test_sheet, scan_test=scan_test, scanner=scanner, config=str(config), as_json=True)


def answer(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


# The sheet


@pytest.mark.parametrize(("name", "start"), [("sheet.pdf", b"%PDF"), ("sheet.png", b"\x89PNG"), ("SHEET.PDF", b"%PDF")])
def test_the_sheet_is_written_without_any_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, start: bytes
) -> None:
    code = doctor(tmp_path / "missing.toml", test_sheet=str(tmp_path / name))

    assert code == 0
    assert (tmp_path / name).read_bytes().startswith(start)
    said = answer(capsys)
    assert said["file"] == str(tmp_path / name)
    assert [each["text"] for each in said["codes"]] == [each.text for each in CODES]


@pytest.mark.parametrize(
    ("name", "code", "part"), [("sheet.jpg", 2, ".pdf or .png"), ("no/such/folder/sheet.pdf", 1, "another file")]
)
def test_a_sheet_that_cannot_be_written_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, code: int, part: str
) -> None:
    assert doctor(tmp_path / "missing.toml", test_sheet=str(tmp_path / name)) == code
    assert part in answer(capsys)["error"]


# The checks


def test_a_register_that_is_not_enrolled_is_3_and_all_is_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], scanner: Scanner
) -> None:
    config = settings(tmp_path, f'name = "counter"\nport = "{scanner.port}"', 'name = "gone"\nport = "/dev/none"')

    assert doctor(config) == 3

    report = answer(capsys)
    verdicts = {(each["area"], each["name"]): each["verdict"] for each in report["checks"]}
    assert verdicts["scanner", "counter"] == "healthy"
    assert verdicts["scanner", "gone"] == "problem"
    assert report["verdict"] == "not_enrolled"


def test_for_people_it_is_a_line_for_each_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = settings(tmp_path, 'name = "gone"\nport = "/dev/none"')

    assert doctor_command(test_sheet=None, scan_test=False, scanner=None, config=str(config), as_json=False) == 3

    said = capsys.readouterr().out.splitlines()
    assert said[0] == "Not enrolled."
    assert any(line.startswith("  ! scanner") and "/dev/none" in line for line in said)
    assert max(map(len, said)) <= 100


@pytest.mark.parametrize(
    "text", ["[scanner]\n", "[[scanners]]\nname = 1\n", '[[identification]]\nname = "x"\nsymbologies = ["ean31"]\n']
)
def test_settings_that_cannot_be_read_are_2(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    config = tmp_path / "tillside.toml"
    config.write_text(text)

    assert doctor(config) == 2
    assert str(config) in answer(capsys)["error"]


# Which scanner


@pytest.mark.parametrize(
    ("scanners", "name", "code", "part"),
    [
        ((), None, 2, "[[scanners]]"),
        (('name = "a"\nport = "/dev/none"', 'name = "b"\nport = "/dev/none"'), None, 2, "'a', 'b'"),
        (('name = "a"\nport = "/dev/none"',), "c", 2, "'c'"),
        (('name = "a"\nport = "/dev/none"',), None, 1, "/dev/none"),
        (('name = "a"\ndriver = "shared"\nspool = "scans"',), "a", 1, "relay"),
        (('name = "a"\ndriver = "magic"',), "a", 1, "magic"),
        (('name = "a"\nport = "/dev/none"\nbaud = "fast"',), "a", 2, "baud"),
    ],
)
def test_a_scanner_that_cannot_be_tested_says_why(
    *,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    scanners: tuple[str, ...],
    name: str | None,
    code: int,
    part: str,
) -> None:
    assert doctor(settings(tmp_path, *scanners), scan_test=True, scanner=name) == code
    assert part in json.loads(capsys.readouterr().out.splitlines()[-1])["error"]


def test_options_that_do_not_go_together_are_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = settings(tmp_path)
    assert doctor(config, scanner="a") == 2
    assert doctor(config, scan_test=True, test_sheet=str(tmp_path / "s.pdf")) == 2
    assert not (tmp_path / "s.pdf").exists()


# The scan test, as a process


async def started(config: Path, **streams: Any) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agent.cli.entry", "doctor", "--scan-test", "--config", str(config)),
        *(["--json"] if streams.pop("as_json", True) else []),
        cwd=ROOT,
        **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},
    )


async def answered(
    doctor: asyncio.subprocess.Process, scanner: Scanner, sent: Callable[[SheetCode], str], codes: int = len(CODES)
) -> None:
    """Scans what the doctor asks for, so many codes."""
    assert doctor.stderr is not None
    asked = 0
    while asked < codes:
        line = (await asyncio.wait_for(doctor.stderr.readline(), 30)).decode()
        assert line, "the doctor ended early"
        if "Scan " in line:
            number = int(line.split("Scan ")[1].split()[0])
            scanner.send(sent(CODES[number - 1]))
            asked += 1


async def report_of(folder: Path, scanner: Scanner, sent: Callable[[SheetCode], str]) -> tuple[int | None, Any]:
    """Exit code and report of a test in which `sent` comes for each code."""
    doctor = await started(settings(folder, f'name = "counter"\nport = "{scanner.port}"'))
    await answered(doctor, scanner, sent)
    out, _ = await doctor.communicate()
    return doctor.returncode, json.loads(out)


@pytest.mark.processes
async def test_a_good_scanner_passes_and_a_bad_one_is_told_apart(tmp_path: Path, scanner: Scanner) -> None:
    other = Scanner()
    (tmp_path / "bad").mkdir()
    (good, report), (bad, faulty) = await asyncio.gather(
        report_of(tmp_path, scanner, lambda code: f"{code.aims[0]}{code.text}\r"),
        report_of(tmp_path / "bad", other, lambda code: code.text.replace("\x1d", "")),
    )
    other.close()

    assert (good, report["findings"]) == (0, [])
    assert {each["result"] for each in report["codes"]} == {"right"}
    found = {each["kind"]: each for each in faulty["findings"]}
    assert bad == 1
    assert set(found) == {"suffix_missing", "aim_missing", "fnc1_dropped"}
    assert found["suffix_missing"]["setting"] == 'suffix = ""'
    assert found["aim_missing"]["codes"] == list(range(1, 13))
    assert found["fnc1_dropped"]["codes"] == [12]


@pytest.mark.processes
async def test_ctrl_c_ends_it_with_what_was_tested(tmp_path: Path, scanner: Scanner) -> None:
    doctor = await started(settings(tmp_path, f'name = "counter"\nport = "{scanner.port}"'))
    await answered(doctor, scanner, lambda code: f"{code.aims[0]}{code.text}\r", codes=2)
    assert doctor.stderr is not None
    while "Scan 3 of" not in (line := (await doctor.stderr.readline()).decode()):
        assert line

    doctor.send_signal(signal.SIGINT)
    out, err = await doctor.communicate()

    report = json.loads(out)
    assert [each["result"] for each in report["codes"]] == ["right", "right", *["untested"] * 10]
    assert (doctor.returncode, b"Traceback" in err) == (4, False)


@pytest.mark.processes
async def test_what_a_wedge_types_is_neither_shown_nor_left_for_the_shell(tmp_path: Path, scanner: Scanner) -> None:
    ours, theirs = pty.openpty()
    config = settings(tmp_path, f'name = "counter"\nport = "{scanner.port}"')
    doctor = await started(config, as_json=False, stdin=theirs, stdout=theirs, stderr=theirs)
    shown = b""
    while b"Scan 1 of" not in shown:
        shown += await asyncio.to_thread(os.read, ours, 4096)

    os.write(ours, b"reboot-from-a-barcode\n")
    scanner.send(f"{CODES[0].aims[0]}{CODES[0].text}\r")
    while b"Scan 2 of" not in shown:
        shown += await asyncio.to_thread(os.read, ours, 4096)
    doctor.send_signal(signal.SIGINT)
    await doctor.wait()

    waiting = array("i", [0])
    fcntl.ioctl(theirs, termios.FIONREAD, waiting)
    assert waiting[0] == 0
    assert termios.tcgetattr(theirs)[3] & termios.ECHO
    shown += os.read(ours, 65536)
    assert b"reboot" not in shown
    assert b"Right." in shown
    assert b"Not tested: 2, 3" in shown
    os.close(ours)
    os.close(theirs)


def test_the_drawing_libraries_are_loaded_for_the_sheet_alone() -> None:
    code = (
        "import sys, agent.cli.doctor, agent.cli.capture, agent.doctor.scan_test\n"
        "print(*{'PIL', 'barcode', 'qrcode', 'aiohttp', 'evdev'} & set(sys.modules))"
    )

    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout

    assert printed.strip() == ""
