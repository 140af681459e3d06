"""`tillside doctor`: what is wrong with this register's set-up and its scanners, and what to do about it.

Owns talking to the person at the till. What is looked at and judged is `agent.doctor`'s. Repairs nothing.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct

from agent.cli.exit_codes import DEGRADED, DONE, PROBLEM, USAGE
from agent.cli.outcome import OF_VERDICT, complain, guarded, say, say_json
from agent.cli.terminal import without_typing
from agent.doctor.borrowing import borrowed
from agent.doctor.checks import DoctorReport, examined
from agent.doctor.code_pages import PageChoice, setting
from agent.doctor.findings import Finding
from agent.doctor.listening import QUIET_S, Ear, NotRawError, ear_of
from agent.doctor.scan_test import WAITED_S, CodeResult, ScanTest, ScanTestReport
from agent.doctor.sheet import CODES, SheetCode
from config.load import load_settings, settings_file
from config.settings import ScannerSettings, Settings
from drivers.registry import RegistryError
from drivers.scanning.driver import DriverOptionsError
from drivers.transport.port import TransportError

MAX_COLUMNS = 100


def doctor_command(
    *,
    test_sheet: str | None,
    scan_test: bool,
    scanner: str | None,
    config: str | None,
    as_json: bool,
    waited_s: float = WAITED_S,
    quiet_s: float = QUIET_S,
    ask: Callable[[str], str] | None = None,
) -> int:
    """Check this register, print the test sheet, or test a scanner with it.

    `ask` puts a question to the person at the till and returns the answer; without it nobody is asked.

    Exit codes: 0 all is well, 1 a problem was found, 2 usage or a wrong setting, 3 not enrolled, 4 degraded, or the
    scan test was broken off before a problem was found.
    """
    if test_sheet is not None and scan_test:
        usage = "choose one of --test-sheet and --scan-test: the sheet is printed before it is scanned"
        return complain("doctor", usage, USAGE, as_json=as_json)
    if scanner is not None and not scan_test:
        return complain("doctor", "--scanner goes with --scan-test", USAGE, as_json=as_json)
    if test_sheet is not None:
        return _sheet(Path(test_sheet), as_json=as_json)

    def work() -> int:
        settings = load_settings(config)
        if scan_test:
            chosen = _chosen(settings, scanner)
            return _scan_test(settings, chosen, as_json=as_json, waited_s=waited_s, quiet_s=quiet_s)
        return _examine(settings, settings_file(config), as_json=as_json, ask=ask)

    try:
        return guarded("doctor", work, as_json=as_json)
    except (NotRawError, TransportError, RegistryError) as error:
        return complain("doctor", error, PROBLEM, as_json=as_json)
    except (NoSuchScannerError, DriverOptionsError) as error:
        return complain("doctor", error, USAGE, as_json=as_json)


class SavedSheet(Struct, frozen=True, kw_only=True):
    """The test sheet's file, and what is on it."""

    file: str
    codes: tuple[SheetCode, ...]


class NoSuchScannerError(LookupError):
    """The scanner to test cannot be told. The message says how to name it."""


def _sheet(file: Path, *, as_json: bool) -> int:
    from agent.doctor.sheet_drawing import save_sheet

    try:
        save_sheet(file)
    except ValueError as error:
        return complain("doctor", f"--test-sheet: {error}", USAGE, as_json=as_json)
    except OSError as error:
        problem = f"{file} cannot be written ({error.strerror or error}): name another file"
        return complain("doctor", problem, PROBLEM, as_json=as_json)
    if not as_json:
        say(f"{file}: print it on A4 at 100 %, then run `tillside doctor --scan-test`.")
    else:
        say_json(SavedSheet(file=str(file), codes=CODES))
    return DONE


# The checks


def _examine(settings: Settings, file: Path, *, as_json: bool, ask: Callable[[str], str] | None) -> int:
    report = asyncio.run(examined(settings, file))
    if as_json:
        say_json(report)
    else:
        _print_checks(report)
        for check in report.checks:
            if check.choice:
                _choose(check.name, check.choice, file, ask)
    return OF_VERDICT[report.verdict]


def _print_checks(report: DoctorReport) -> None:
    say(f"{report.verdict.replace('_', ' ').capitalize()}.")
    for check in report.checks:
        mark = " " if check.verdict == "healthy" else "!"
        _say_wrapped(f"  {mark} {check.area:<10}", f"{check.name}: {check.said}" if check.name else check.said)


def _choose(source: str, choice: PageChoice, file: Path, ask: Callable[[str], str] | None) -> None:
    """Show a line of the paper in each page, and say what to write for the one that reads right."""
    say("")
    say(f"The same line, printed by {source!r}, in the likeliest code pages:")
    for number, page in enumerate(choice.pages, start=1):
        say(f"  {number}  {page.code_page:<10} {page.certainty:>3} %  {page.line}")
    answer = "1" if ask is None else ask("Which one reads as on the paper? Its number, or Enter for none: ").strip()
    if not (answer.isdecimal() and 1 <= int(answer) <= len(choice.pages)):
        say("Then look for the code page in the printer's self-test or manual, and write it there as code_page = …")
        return
    say("If the first one reads as on the paper, write" if ask is None else "Write")
    say(f"  {setting(choice.pages[int(answer) - 1].code_page)}")
    say(f"in {file}, under the [[receipts]] with name = {json.dumps(source)}, and start the agent again.")


# The scan test


def _chosen(settings: Settings, name: str | None) -> ScannerSettings:
    names = ", ".join(repr(scanner.name) for scanner in settings.scanners)
    if not settings.scanners:
        raise NoSuchScannerError(
            "no scanner is set: add one under [[scanners]]; `tillside capture --list` shows devices"
        )
    if name is None and len(settings.scanners) > 1:
        raise NoSuchScannerError(f"name the scanner to test with --scanner: {names}")
    for scanner in settings.scanners:
        if name in (None, scanner.name):
            return scanner
    raise NoSuchScannerError(f"there is no scanner {name!r} in the settings; there are {names}")


def _scan_test(settings: Settings, scanner: ScannerSettings, *, as_json: bool, waited_s: float, quiet_s: float) -> int:
    ear = ear_of(scanner)
    prompts = _Prompts(_to_stderr if as_json else _to_stdout)
    test = ScanTest(scanner.name, ear, prompts, waited_s=waited_s, quiet_s=quiet_s)
    prompts.begin(scanner)
    try:
        with without_typing():
            asyncio.run(_run(test, ear, settings, scanner))
    except KeyboardInterrupt:
        pass  # what was tested until then is told
    report = test.report()
    if as_json:
        say_json(report)
    else:
        _print_scan_test(report)
    if report.has_problem:
        return PROBLEM
    return DONE if report.is_whole else DEGRADED


async def _run(test: ScanTest, ear: Ear, settings: Settings, scanner: ScannerSettings) -> None:
    async with borrowed(settings, scanner.name):
        await ear.open()
        try:
            await test.run()
        finally:
            await ear.close()


class _Prompts:
    """The `Operator` at the till."""

    def __init__(self, say_line: Callable[[str], None]) -> None:
        self._say = say_line

    def begin(self, scanner: ScannerSettings) -> None:
        self._say(f"Testing scanner {scanner.name!r} with the test sheet (`tillside doctor --test-sheet sheet.pdf`).")
        self._say("Let a code pass that this scanner cannot read. Ctrl-C ends the test.")

    def asked(self, code: SheetCode, *, again: bool) -> None:
        if again:
            self._say("    That was another code of the sheet.")
        self._say(f"Scan {code.number} of {len(CODES)}: {code.title}  {code.shown}")

    def told(self, result: CodeResult, findings: Sequence[Finding]) -> None:
        if result.result == "right":
            self._say("    Right.")
        for found in findings:
            self._say(f"    {'!' if found.severity == 'problem' else '-'} {found.what}")


def _print_scan_test(report: ScanTestReport) -> None:
    right = sum(code.result == "right" for code in report.codes)
    say("")
    say(f"{right} of {len(report.codes)} codes came as they should.")
    untested = [str(code.number) for code in report.codes if code.result == "untested"]
    if untested:
        say(f"Not tested: {', '.join(untested)}.")
    for found in report.findings:
        say("")
        codes = f"code{'s' if len(found.codes) > 1 else ''} {', '.join(map(str, found.codes))}"
        _say_wrapped("! " if found.severity == "problem" else "- ", f"{found.what} ({codes})")
        _say_wrapped("    Effect:  ", found.effect)
        _say_wrapped("    Remedy:  ", found.remedy)
        if found.setting:
            _say_wrapped("    Setting: ", found.setting)


def _say_wrapped(start: str, text: str) -> None:
    columns = min(shutil.get_terminal_size().columns, MAX_COLUMNS)
    indent = " " * len(start)
    for line in textwrap.wrap(text, columns, initial_indent=start, subsequent_indent=indent, break_on_hyphens=False):
        say(line)


def _to_stdout(line: str) -> None:
    say(line)
    sys.stdout.flush()


def _to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
