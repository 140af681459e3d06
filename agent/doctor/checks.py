"""What can be found out about a register without its help: settings, enrolment, agent, scanners, rules, spools.

Owns the checks and the verdict over them. A check says one line and, where something is wrong, what to do; it
repairs nothing, and leaves every port as it was. More checks are more functions in `CHECKS`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from agent.cli.connection import AgentUnreachableError, running_agent
from agent.doctor.centre import Sight, seen
from agent.doctor.code_pages import PageChoice, choices_of, setting
from agent.doctor.keeping import keys_said, store_said
from agent.doctor.listening import Ear, NotRawError, ear_of
from agent.doctor.ports import held_by
from agent.doctor.printing import printer_said
from agent.inspection import NotFoundError, StatusReport, Verdict
from agent.layouts import templates_of
from agent.reading_options import options_of
from agent.relay_word import judged, lives, status_of
from agent.setting_checks import part_problems
from agent.state import store_path
from agent.supervisor import Health
from agent.updating.relay_settings import relay_file, relay_settings_problem
from agent.view import PlaceView
from config.load import state_folder
from config.settings import PageSettings, ReceiptSettings, ScannerSettings, Settings, SettingsError
from drivers.registry import RegistryError
from drivers.scanning.driver import DriverOptionsError
from drivers.transport.port import TransportError
from loyalty.identification_checks import rule_problems
from sync.delayed_enrolment import told_of_code
from sync.enrolment import EnrolmentDamagedError, NotEnrolledError, load_enrolment
from sync.store.reserve import ballast_of

# Below this a store cannot be relied on to take a day of receipts.
MIN_FREE_BYTES = 100 * 1024 * 1024
# Who is further off sees sales of others in the future.
MAX_CLOCK_OFF_S = 60
SHARED = "shared"

Area = Literal[
    "settings",
    "enrolment",
    "agent",
    "version",
    "centre",
    "clock",
    "scanner",
    "rules",
    "program",
    "spending",
    "spool",
    "printer",
    "code page",
    "receipts",
    "disk",
    "keys",
    "database",
]


class Check(Struct, frozen=True, kw_only=True):
    """What was looked at, and what it is like. `said` holds the remedy where something is wrong.

    `choice` goes with the area `code page` where a person has to say which one is right.
    """

    area: Area
    name: str
    verdict: Verdict
    said: str
    choice: PageChoice | UnsetType = UNSET


class DoctorReport(Struct, frozen=True, kw_only=True):
    """All checks; the gravest gives the verdict."""

    verdict: Verdict
    checks: tuple[Check, ...]


class Surroundings(Struct, frozen=True, kw_only=True):
    """What the checks look at. `status` is the running agent's, None where none runs."""

    settings: Settings
    file: Path
    ear: Callable[[ScannerSettings], Ear] = ear_of
    status: StatusReport | None = None
    agent_problem: str = ""
    sees: Callable[[Settings], Awaitable[Sight | None]] = seen


Look = Callable[[Surroundings], AsyncIterator[Check]]


async def examined(settings: Settings, file: Path) -> DoctorReport:
    """The report on the register of `settings`, which were read from `file`."""
    status, problem = await asyncio.to_thread(_asked, settings)
    return await checked(Surroundings(settings=settings, file=file, status=status, agent_problem=problem))


async def checked(surroundings: Surroundings) -> DoctorReport:
    """The report on these surroundings."""
    checks = [check for area, look in CHECKS async for check in isolated(area, look, surroundings)]
    return DoctorReport(verdict=_gravest(checks), checks=tuple(checks))


async def isolated(area: Area, look: Look, surroundings: Surroundings) -> AsyncIterator[Check]:
    """What one look finds; where it fails itself, that too, as a problem of `area`: the others go on."""
    try:
        async for check in look(surroundings):
            yield check
    except PermissionError as error:
        said = f"this user may not look ({error}): run the doctor as root, or as the agent's user"
        yield Check(area=area, name="check", verdict="problem", said=said)
    except Exception as error:  # noqa: BLE001 - the edge: who calls the doctor needs all else that it finds
        said = (
            f"this check failed itself ({type(error).__name__}: {error}): what it looks at is not known; send who "
            "helps a `tillside support-bundle`"
        )
        yield Check(area=area, name="check", verdict="problem", said=said)


def _gravest(checks: Sequence[Check]) -> Verdict:
    """In the order in which `tillside status` has it: what is not enrolled is not set up yet."""
    order: tuple[Verdict, ...] = ("not_enrolled", "problem", "degraded")
    verdicts = {check.verdict for check in checks}
    return next((verdict for verdict in order if verdict in verdicts), "healthy")


def _asked(settings: Settings) -> tuple[StatusReport | None, str]:
    try:
        agent = running_agent(settings)
        return (agent.status() if agent is not None else None), ""
    except (AgentUnreachableError, NotFoundError) as error:
        return None, str(error)


async def _settings(look: Surroundings) -> AsyncIterator[Check]:
    found = str(look.file) if look.file.exists() else f"{look.file} is not there: every setting has its default"
    yield Check(area="settings", name="file", verdict="healthy", said=found)
    for wrong in await asyncio.to_thread(lambda: tuple(part_problems(look.settings, str(look.file)))):
        yield Check(area="settings", name=wrong.key, verdict="problem", said=f"{wrong.problem}. {wrong.remedy}")
    relay = relay_file(look.file)
    if relay.exists() and (broken := await asyncio.to_thread(relay_settings_problem, relay)):
        said = (
            f"{broken}. A relay that runs prints on, and could not be started again: correct the file, and restart it"
        )
        yield Check(area="settings", name="relay", verdict="problem", said=said)


async def _enrolment(look: Surroundings) -> AsyncIterator[Check]:
    verdict: Verdict = "healthy"
    try:
        enrolment = load_enrolment(state_folder(look.settings))
        said = f"enrolled as store {enrolment.store}, register {enrolment.register}"
    except NotEnrolledError as error:
        given = told_of_code(state_folder(look.settings))
        verdict, said = "not_enrolled", f"this register is not enrolled; {given}" if given else str(error)
    except EnrolmentDamagedError as error:
        verdict, said = "problem", str(error)
    yield Check(area="enrolment", name="centre", verdict=verdict, said=said)


async def _agent(look: Surroundings) -> AsyncIterator[Check]:
    if look.agent_problem:
        yield Check(area="agent", name="", verdict="problem", said=look.agent_problem)
    elif look.status is None:
        said = f"does not run: start it with `tillside run`, or its service{_in_its_way(look.settings.page)}"
        yield Check(area="agent", name="", verdict="problem", said=said)
    else:
        yield Check(area="agent", name="", verdict="healthy", said=f"runs; its page is {look.status.page}")


def _in_its_way(page: PageSettings) -> str:
    """Who else has the port on which the agent would listen, and what to do then; empty where nobody has."""
    if (holder := held_by(page.host, page.port)) is None:
        return ""
    return (
        f"; first free its port: {page.host}:{page.port} is used by {holder}: stop that, or set another [page] port in "
        "the settings file"
    )


async def _way(look: Surroundings) -> AsyncIterator[Check]:
    """What answers where the centre is, however the agent is."""
    yield Check(area="version", name="", verdict="healthy", said=f"tillside {version('tillside')}")
    sight = await look.sees(look.settings)
    if sight is None:
        return
    if sight.problem:
        yield Check(area="centre", name="way", verdict="degraded", said=sight.problem)
        return
    yield Check(area="centre", name="way", verdict="healthy", said=f"answers at {sight.way}")
    if sight.clock_behind_s is None:
        return
    off = round(abs(sight.clock_behind_s))
    if off <= MAX_CLOCK_OFF_S:
        yield Check(area="clock", name="", verdict="healthy", said="goes with the centre's")
        return
    side = "behind" if sight.clock_behind_s > 0 else "ahead of"
    said = f"is {off} s {side} the centre's: set it, or have this machine ask a time server"
    yield Check(area="clock", name="", verdict="degraded", said=said)


async def _scanners(look: Surroundings) -> AsyncIterator[Check]:
    if not look.settings.scanners:
        yield Check(area="scanner", name="", verdict="healthy", said="no scanner is set")
    workers = look.status.workers if look.status is not None else ()
    health = {worker.name: worker for worker in workers if worker.kind == "scanner"}
    for scanner in look.settings.scanners:
        held = health.get(scanner.name)
        verdict, said = _of_health(held) if held is not None else await _opened(look, scanner)
        yield Check(area="scanner", name=scanner.name, verdict=verdict, said=said)


def _of_health(health: Health) -> tuple[Verdict, str]:
    """What the agent says, which has the port open or has tried."""
    if health.condition == "failing":
        return "problem", str(health.problem or "does not work")
    if health.condition == "lent":
        return "degraded", str(health.problem)
    return "healthy", "works" if health.condition == "ready" else "is being opened by the agent"


async def _opened(look: Surroundings, scanner: ScannerSettings) -> tuple[Verdict, str]:
    """Whether its port can be opened; it is closed again at once."""
    try:
        ear = look.ear(scanner)
        await ear.open()
    except NotRawError:
        return "healthy", f"is read by the driver {scanner.driver!r}, which only the agent can try"
    except (TransportError, RegistryError, DriverOptionsError) as error:
        return "problem", str(error)
    await ear.close()
    return "healthy", "its port can be opened"


async def _rules(look: Surroundings) -> AsyncIterator[Check]:
    rules = look.settings.identification
    for problem in rule_problems(rules):
        verdict: Verdict = "problem" if problem.serious else "degraded"
        yield Check(area="rules", name=problem.name, verdict=verdict, said=str(problem))
    if look.status is not None:
        said = f"{look.status.rules.settings} from the settings, {look.status.rules.centre} from the centre"
    else:
        said = f"{len(rules)} in the settings"
    yield Check(area="rules", name="", verdict="healthy", said=said)


async def _programs(look: Surroundings) -> AsyncIterator[Check]:
    """Those that the centre announced, as far as an agent that runs tells."""
    if look.status is None:
        return
    in_force, programs = look.status.program, look.status.programs
    if in_force is not None:
        coming = sum(one.held and one.hash != in_force for one in programs)
        said = f"{in_force[:12]} is in force, {coming} more are here for other times"
        yield Check(area="program", name="", verdict="healthy", said=said)
    elif look.status.badge.enrolled:
        said = "none is here yet, so nothing earns points: publish one at the centre, or wait for its next answer"
        yield Check(area="program", name="", verdict="degraded", said=said)
    for one in programs:
        if one.refused is not None:
            yield Check(area="program", name=one.hash[:12], verdict="degraded", said=one.refused)


async def _spending(look: Surroundings) -> AsyncIterator[Check]:
    """What can be spent here without a network."""
    if look.status is None:
        return
    spending = look.status.spending
    if spending.unsure_because:
        said = f"no points can be spent: {spending.unsure_because}; let the register reach its centre"
        yield Check(area="spending", name="", verdict="degraded", said=said)
        return
    said = (
        f"{spending.points} points and {spending.vouchers} vouchers in {spending.allowances} allowances are safe here, "
        f"{spending.reserved} rewards are "
        f"reserved in {spending.open_sales} open sales"
    )
    yield Check(area="spending", name="", verdict="healthy", said=said)


async def _spools(look: Surroundings) -> AsyncIterator[Check]:
    folders = [(source.name, source.spool) for source in look.settings.receipts if source.spool is not None]
    shared = [scanner for scanner in look.settings.scanners if scanner.driver == SHARED]
    folders += [(scanner.name, Path(str(scanner.options.get("spool", "")))) for scanner in shared]
    for name, folder in folders:
        verdict, said = await asyncio.to_thread(_of_spool, folder)
        yield Check(area="spool", name=name, verdict=verdict, said=said)


def _of_spool(folder: Path) -> tuple[Verdict, str]:
    try:
        is_there = folder.is_dir()
    except OSError as error:
        remedy = "run the doctor as root or as the agent's user, or correct the path"
        return "problem", f"{folder} cannot be looked at ({error.strerror}): {remedy}"
    if not is_there:
        return "problem", f"{folder} is not there: start the relay (`tillside relay`) with this folder"
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return "problem", f"{folder} may not be used by this user: run agent, relay and doctor as the same user"
    relay = status_of(folder)
    if relay is None:
        return "degraded", f"no relay has used {folder} yet: start it (`tillside relay`) with this folder"
    return judged(folder, relay)


async def _printers(look: Surroundings) -> AsyncIterator[Check]:
    """Whether each printer answers through its relay, where that runs."""
    selling = look.status is not None and look.status.selling
    for source in look.settings.receipts:
        relay = status_of(source.spool) if source.spool is not None else None
        if relay is None or not lives(relay.get("pid")):
            continue  # told of the spool
        if (told := await printer_said(relay, selling=selling)) is not None:
            yield Check(area="printer", name=source.name, verdict=told[0], said=told[1])


async def _sources(look: Surroundings) -> AsyncIterator[Check]:
    """What the running agent says of its sources of receipts; where none runs, what each says that is asked."""
    if look.status is None:
        for untried in look.settings.receipts:
            if untried.spool is None:  # a spool has checks of its own
                verdict, told = await asyncio.to_thread(_tried, look.settings, untried)
                yield Check(area="receipts", name=untried.name, verdict=verdict, said=told)
        return
    workers = {worker.name: worker for worker in look.status.workers if worker.kind == "receipts"}
    for source in look.status.sources:
        worker, came = workers.get(source.name), source.last_receipt
        said = f"{source.kind}{', authoritative' if source.authoritative else ''}"
        said += f", last receipt {came:%Y-%m-%d %H:%M} UTC" if came is not None else ", no receipt yet"
        if worker is not None and worker.problem:
            yield Check(area="receipts", name=source.name, verdict="problem", said=f"{said}: {worker.problem}")
        else:
            yield Check(area="receipts", name=source.name, verdict="healthy", said=said)


def _tried(settings: Settings, source: ReceiptSettings) -> tuple[Verdict, str]:
    # Readers are loaded where there is something to read.
    from agent.sources import MissingExtraError, tried  # noqa: PLC0415

    try:
        place = PlaceView(store=settings.register.store, register=settings.register.register)
        return "healthy", tried(source, options_of(settings, place, source.name, templates_of(settings)))
    except (SettingsError, MissingExtraError, ValueError, OSError) as error:  # of options and mappings, of the source
        return "problem", str(error)


async def _code_pages(look: Surroundings) -> AsyncIterator[Check]:
    for source in look.settings.receipts:
        if source.spool is None:
            continue
        try:
            choices = await asyncio.to_thread(choices_of, source, look.settings.identification)
        except ValueError as error:  # DecodeOptionsError, whose module is loaded only where there is a spool
            yield Check(area="code page", name=source.name, verdict="problem", said=str(error))
        except OSError:
            continue  # told of the spool
        else:
            for choice in choices:
                yield _of_choice(source, choice)


def _of_choice(source: ReceiptSettings, choice: PageChoice) -> Check:
    likeliest = choice.pages[0]
    why = "nobody says which code page the printer is in"
    if choice.selected is not None:
        why = f"words make no sense in the code page that ESC t {choice.selected} selects"
    said = (
        f"{why}; receipts are read as {likeliest.code_page}, {likeliest.certainty} % sure. Compare the line with the "
        f"paper, and write what reads right under this [[receipts]]: {setting(likeliest.code_page)}"
    )
    return Check(area="code page", name=source.name, verdict="degraded", said=said, choice=choice)


async def _disk(look: Surroundings) -> AsyncIterator[Check]:
    folder = state_folder(look.settings)
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    free, store = shutil.disk_usage(existing).free, store_path(look.settings)
    if not os.access(existing, os.W_OK):
        said = f"{folder} cannot be written by this user: run the doctor as the agent's user, or correct its owner"
        yield Check(area="disk", name="state", verdict="problem", said=said)
    elif free < MIN_FREE_BYTES and store.exists() and not ballast_of(store).exists():
        said = f"the disk of {folder} is full and its reserve in use: make room, at least {MIN_FREE_BYTES // 2**20} MB"
        yield Check(area="disk", name="state", verdict="problem", said=said)
    elif free < MIN_FREE_BYTES:
        said = f"{free // 2**20} MB are free for {folder}: make room, at least {MIN_FREE_BYTES // 2**20} MB"
        yield Check(area="disk", name="state", verdict="degraded", said=said)
    else:
        yield Check(area="disk", name="state", verdict="healthy", said=f"{folder}, {free // 2**20} MB free")


async def _keeping(look: Surroundings) -> AsyncIterator[Check]:
    verdict, said = await asyncio.to_thread(keys_said, look.settings, look.status)
    yield Check(area="keys", name="", verdict=verdict, said=said)
    if (told := await asyncio.to_thread(store_said, look.settings)) is not None:
        yield Check(area="database", name="", verdict=told[0], said=told[1])


# Each with the area that it is of, should it fail.
CHECKS: tuple[tuple[Area, Look], ...] = (
    ("settings", _settings),
    ("enrolment", _enrolment),
    ("agent", _agent),
    ("centre", _way),
    ("scanner", _scanners),
    ("rules", _rules),
    ("program", _programs),
    ("spending", _spending),
    ("spool", _spools),
    ("printer", _printers),
    ("code page", _code_pages),
    ("receipts", _sources),
    ("disk", _disk),
    ("keys", _keeping),
)
