"""The settings of a register: their types, defaults and checks.

Owns what may be set, and the message when a setting is wrong: it names the file, the key and the
remedy. Never reads a file or the environment (`config.load` does) and holds no state.
"""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta, Struct

from config.connector import connector_named, connector_names, laid_over, still_to_say
from config.receipt_sources import source_problems
from config.shown_values import quoted
from config.web_origins import MAX_ORIGINS, origin_problem
from loyalty.identification import MAX_RULES, IdentificationRule
from loyalty.identification_checks import rule_problems
from loyalty.receipt import Currency

ENVIRONMENT_PREFIX = "TILLSIDE_"
CONNECTOR_VARIABLE = f"{ENVIRONMENT_PREFIX}REGISTER__CONNECTOR"
MAX_SCANNERS = 32
# A printer, a POS's files, its calls and its database, twice.
MAX_RECEIPT_SOURCES = 8

Name = Annotated[str, Meta(min_length=1, max_length=64)]
Text = Annotated[str, Meta(min_length=1, max_length=200)]
Query = Annotated[str, Meta(min_length=1, max_length=20_000)]
Port = Annotated[int, Meta(ge=1, le=65535)]
SettleMs = Annotated[int, Meta(ge=0, le=600_000)]
Suffix = Annotated[str, Meta(min_length=1, max_length=32)]
DeadlineMs = Annotated[int, Meta(ge=50, le=10_000)]
Option = str | int | float | bool
# A byte that the POS sends for a letter that it draws itself, and that letter.
LetterCode = Annotated[str, Meta(pattern="^0x[2-9a-fA-F][0-9a-fA-F]$")]
Letter = Annotated[str, Meta(min_length=1, max_length=1)]
# The option of a scanner's driver that names a folder.
SPOOL_OPTION = "spool"
Section = type[Struct] | type[IdentificationRule]

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_PATH_STEP = re.compile(r"\.([A-Za-z_][A-Za-z0-9_]*)|\[(\d+)\]")


class SettingsError(ValueError):
    """A setting cannot be used. The message names the file (or variable), the key and the remedy."""

    def __init__(self, where: str, key: str, problem: str, remedy: str) -> None:
        place = f"{where}: {key}" if key else where
        super().__init__(f"{place}: {problem.rstrip('.')}. {remedy}".rstrip())
        self.where = where
        self.key = key
        self.remedy = remedy
        self.problem = problem.rstrip(".")


class _NoTableError(SettingsError):
    """What should hold settings is a single value."""


Language = Literal["en", "sr", "sr-Cyrl", "hr", "sl", "de"]
"""What the page speaks; `agent/page/` has the words."""


class RegisterSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which register this is. Store and register come with the enrolment; these are for receipts that
    name neither, and for a register that is not enrolled.
    """

    connector: Name | None = None
    store: Name | None = None
    register: Name | None = None
    currency: Currency | None = None
    time_zone: Name | None = None
    language: Language = "en"


class PathSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where state is kept. None means the default of the operating system (`config.load`)."""

    state: Path | None = None


class CentreSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The way to the centre; its address and key come with the enrolment."""

    lookup_deadline_ms: DeadlineMs = 1500
    proxy: Text = "system"
    ca_file: Path | None = None


class UpdateSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose releases are installed here. It is set at this register alone: no centre can change it."""

    root: Path | None = None


class StoreSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the store takes of the disk for bad times: twice its log, so that a full disk can always be drained."""

    ballast_mb: Annotated[int, Meta(ge=0, le=4096)] = 32


class PageSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the cashier page and the local API listen. Only this machine may reach them, and of pages that a browser
    has from elsewhere those of `origins` alone.
    """

    host: Name = "127.0.0.1"
    port: Port = 8787
    origins: Annotated[tuple[Text, ...], Meta(max_length=MAX_ORIGINS)] = ()


class ScannerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One scanner. Every other key of its table is an option, checked by the driver itself."""

    name: Name
    driver: Name = "serial"
    options: dict[str, Option] = {}


class ReceiptSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One source of receipts and how to read them: the folder in which a relay spools print jobs, one in which a POS
    drops files, the POS's own calls of the local API, or its database. `config.receipt_sources` says which keys go
    with which kind.
    """

    name: Name
    authoritative: bool = False
    spool: Path | None = None
    webhook: bool = False
    folder: Path | None = None
    pattern: Text = "*"
    complete: Literal["rename", "size", "close"] = "size"
    settle_ms: SettleMs = 1000
    temporary: Annotated[tuple[Suffix, ...], Meta(max_length=16)] = (".tmp", ".part")
    afterwards: Literal["move", "delete", "leave"] = "move"
    database: Text | None = None
    query: Query | None = None
    high_water: Name | None = None
    start: int | Text = 0
    overlap: Annotated[int, Meta(ge=0, le=1_000_000)] = 300
    poll_s: Annotated[int, Meta(ge=1, le=3600)] = 10
    mapping: Path | None = None
    format: Name = "auto"
    code_page: Name | None = None
    profile: Name | None = None
    letters: dict[LetterCode, Letter] = {}
    template: Text | None = None


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything an operator may set."""

    register: RegisterSettings = RegisterSettings()
    paths: PathSettings = PathSettings()
    store: StoreSettings = StoreSettings()
    centre: CentreSettings = CentreSettings()
    page: PageSettings = PageSettings()
    update: UpdateSettings = UpdateSettings()
    scanners: Annotated[tuple[ScannerSettings, ...], Meta(max_length=MAX_SCANNERS)] = ()
    receipts: Annotated[tuple[ReceiptSettings, ...], Meta(max_length=MAX_RECEIPT_SOURCES)] = ()
    identification: Annotated[tuple[IdentificationRule, ...], Meta(max_length=MAX_RULES)] = ()


def is_authoritative(source: ReceiptSettings, sources: Sequence[ReceiptSettings]) -> bool:
    """Whether the receipts of `source` are booked; those of the others are matched to them."""
    return source.authoritative or len(sources) == 1


def setting_names() -> tuple[str, ...]:
    """Every setting as the documentation writes it: `page.port`, `scanners[].name`."""
    return tuple(
        f"{name}{'[]' if many else ''}.{'*' if key == 'options' else key}"
        for name, (section, many) in _sections().items()
        for key in _keys(section)
    )


def _sections() -> dict[str, tuple[Section, bool]]:
    """Of each section, its type and whether it is a list of tables."""
    hints = get_type_hints(Settings)
    return {name: (get_args(hint)[0], True) if get_args(hint) else (hint, False) for name, hint in hints.items()}


def _keys(section: Section) -> tuple[str, ...]:
    if issubclass(section, Struct):
        return section.__struct_fields__
    return tuple(field.name for field in dataclasses.fields(section))


class Judged(Struct, frozen=True, kw_only=True):
    """Settings that can be used, or None and everything that is wrong with them."""

    settings: Settings | None
    problems: tuple[SettingsError, ...] = ()


def settings_from(document: Mapping[str, Any], environment: Mapping[str, str], where: str) -> Settings:
    """Checked settings: defaults, the connector's, then `document` (parsed TOML, from `where`), then the environment.

    Raises the first SettingsError.
    """
    judged = judged_settings(document, environment, where)
    if judged.settings is None:
        raise judged.problems[0]
    return judged.settings


def judged_settings(document: Mapping[str, Any], environment: Mapping[str, str], where: str) -> Judged:
    """The same with all that is wrong. How values go together is judged once each of them can be read."""
    problems = [*_unknown(document, where)]
    merged = {}
    if not any(isinstance(problem, _NoTableError) for problem in problems):
        try:
            document = _with_connector(document, environment, where)
        except SettingsError as error:
            problems.append(error)
        problems += _unreadable(document, where)
        merged = _with_options(document)
    said: dict[str, str] = {}
    for variable, text in sorted(environment.items()):
        try:
            said |= _lay_over(merged, variable, text)
        except SettingsError as error:
            problems.append(error)
    if problems:
        return Judged(settings=None, problems=tuple(problems))
    try:
        settings = _convert(merged, where=where)
    except SettingsError as error:
        return Judged(settings=None, problems=(error,))
    problems += (_where_said(error, said) for error in _wrong_together(settings, document, where))
    return Judged(settings=None if problems else settings, problems=tuple(problems))


def _where_said(error: SettingsError, said: Mapping[str, str]) -> SettingsError:
    """The same with the variable that says the value, where one does; `said` has it by key."""
    if error.key not in said:
        return error
    return SettingsError(_variable(said[error.key]), error.key, error.problem, error.remedy)


def _variable(name: str) -> str:
    return f"environment variable {name}"


def _wrong_together(settings: Settings, document: Mapping[str, Any], where: str) -> Iterator[SettingsError]:
    yield from _check(settings, where)
    for wrong in source_problems(document.get("receipts", ())):
        place = _table("receipts", wrong.index, document["receipts"][wrong.index])
        remedy = f"{wrong.remedy}{_of_connector(settings, document['receipts'])}"
        yield SettingsError(where, f"{place}, {wrong.key}", wrong.problem, remedy)


def _of_connector(settings: Settings, tables: Sequence[Mapping[str, Any]]) -> str:
    """Which of several sources the operator has not written, and how to speak of it."""
    connector = settings.register.connector
    if connector is None or len(tables) < 2:
        return ""
    known = {table["name"] for table in connector_named(connector).settings.get("receipts", ())}
    brought = [table["name"] for table in tables if table.get("name") in known]
    return "".join(
        f". {name!r} comes with the connector {connector!r}: if yours is that source, give it that name; if not, a "
        f"[[receipts]] with name = {name!r} is where to say authoritative of it"
        for name in brought
    )


def _with_connector(document: Mapping[str, Any], environment: Mapping[str, str], where: str) -> Mapping[str, Any]:
    """`document` over the settings of the connector that it names, or the environment."""
    name = environment.get(CONNECTOR_VARIABLE) or document.get("register", {}).get("connector")
    if not isinstance(name, str):
        return document
    named = _variable(CONNECTOR_VARIABLE) if environment.get(CONNECTOR_VARIABLE) else where
    try:
        connector = connector_named(name)
    except LookupError as error:
        remedy = _suggestion(name, connector_names())
        raise SettingsError(named, "[register] connector", f"no connector {name!r}", remedy) from error
    merged = laid_over(connector, document)
    for missing in still_to_say(connector, merged):
        place = f"[[{missing.section}]] {missing.table!r}, {missing.key}"
        remedy = f"Say it below [[{missing.section}]] with name = {missing.table!r}: docs/connectors says what it is"
        raise SettingsError(where, place, f"the connector {name!r} cannot know it", remedy)
    return merged


def _unknown(document: Mapping[str, Any], where: str) -> Iterator[SettingsError]:
    """Sections and keys that are none."""
    sections = _sections()
    for name, content in document.items():
        if name not in sections:
            yield SettingsError(where, f"[{name}]", "no such section", _suggestion(name, sections))
            continue
        section, many = sections[name]
        tables = content if many else [content]
        brackets = f"[[{name}]]" if many else f"[{name}]"
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            yield _NoTableError(where, name, "not a table", f"Write it as {brackets} with its keys below")
            continue
        for index, table in enumerate(tables):
            place = f"{_table(name, index, table)}," if many else brackets
            yield from _unknown_keys(section, table, where, place)


def _unknown_keys(section: Section, table: Mapping[str, Any], where: str, place: str) -> Iterator[SettingsError]:
    known = _keys(section)
    for key, value in table.items():
        if key in known and key != "options":
            continue
        if "options" not in known:
            yield SettingsError(where, f"{place} {key}", "no such key", _suggestion(key, known))
        elif not isinstance(value, Option):
            problem = f"{quoted(key, value)} is not a single value"
            yield SettingsError(where, f"{place} {key}", problem, "Give a text, number, true or false")


def _unreadable(document: Mapping[str, Any], where: str) -> Iterator[SettingsError]:
    """Known keys whose values are of a wrong type, or out of their range."""
    for name, (section, many) in _sections().items():
        hints = get_type_hints(section, include_extras=True)
        content = document.get(name, [] if many else {})
        for index, table in enumerate(content if many else [content]):
            place = f"{_table(name, index, table)}," if many else f"[{name}]"
            for key in table:
                if key not in hints or key == "options":
                    continue
                try:
                    msgspec.convert(table[key], hints[key], dec_hook=_path_from)
                except msgspec.ValidationError as error:
                    yield SettingsError(where, f"{place} {key}", _misfit(error, key, table[key]), _remedy(hints[key]))


def _suggestion(word: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Known here: {', '.join(names)}"


def _with_options(document: Mapping[str, Any]) -> dict[str, Any]:
    """A copy in which the free keys of each scanner stand under `options`."""
    merged = {section: dict(content) if isinstance(content, dict) else content for section, content in document.items()}
    merged["scanners"] = [
        {key: table[key] for key in ("name", "driver") if key in table}
        | {"options": {key: value for key, value in table.items() if key not in ("name", "driver")}}
        for table in document.get("scanners", [])
    ]
    return merged


def _lay_over(merged: dict[str, Any], variable: str, text: str) -> dict[str, str]:
    """Puts what `TILLSIDE_SECTION__KEY` says into `merged`, and returns which key that is; other variables say nothing.

    Raises SettingsError.
    """
    if not variable.startswith(ENVIRONMENT_PREFIX) or "__" not in variable:
        return {}
    sections = _sections()
    where = _variable(variable)
    name, _, key = variable.removeprefix(ENVIRONMENT_PREFIX).lower().partition("__")
    if name not in sections:
        raise SettingsError(where, "", f"no section {name!r}", _suggestion(name, sections))
    section, many = sections[name]
    if many:
        raise SettingsError(where, "", f"[[{name}]] is a list", "Set it in the settings file")
    keys = get_type_hints(section)
    if key not in keys:
        raise SettingsError(where, "", f"[{name}] has no key {key!r}", _suggestion(key, keys))
    if get_origin(keys[key]) is tuple:
        raise SettingsError(where, "", f"[{name}] {key} is a list", "Set it in the settings file")
    value = int(text) if _is_int(keys[key]) and _INTEGER.fullmatch(text) else text
    hint, place = get_type_hints(section, include_extras=True)[key], f"[{name}] {key}"
    try:
        msgspec.convert(value, hint, dec_hook=_path_from)
    except msgspec.ValidationError as error:
        raise SettingsError(where, place, _misfit(error, key, text), _remedy(hint)) from error
    merged.setdefault(name, {})[key] = value
    return {place: variable}


def _misfit(error: msgspec.ValidationError, key: str, value: Any) -> str:
    """What a value is not."""
    problem, _, path = str(error).partition(" - at ")
    inside = path.strip("`").removeprefix("$")
    return f"{quoted(key, value)}{f' ({inside})' if inside else ''}: {_plain(problem)}"


def _remedy(hint: Any) -> str:
    """What may be written instead."""
    words = list(_words_of(hint))
    return f"Write one of {', '.join(words)}" if words else "Write such a value; docs/settings.md says what it is"


def _words_of(hint: Any) -> Iterator[str]:
    if get_origin(hint) is Literal:
        yield from map(repr, get_args(hint))


def _is_int(hint: Any) -> bool:
    if get_origin(hint) in (Union, UnionType):
        return any(_is_int(member) for member in get_args(hint))
    return hint is int


def _convert(document: Mapping[str, Any], where: str) -> Settings:
    try:
        return msgspec.convert(document, Settings, dec_hook=_path_from)
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at ")
        place = _readable(path.strip("`"), document)
        raise SettingsError(where, place, _plain(problem), "Write it as docs/settings.md has it") from error


def _path_from(wanted: type, value: Any) -> Path:
    if wanted is Path and isinstance(value, str) and value and "\0" not in value:
        return Path(value)
    raise ValueError("Expected the path of a folder, as text" + (" without NUL" if value else ""))


def _plain(problem: str) -> str:
    return problem[:1].lower() + problem[1:].replace("`", "")


def _readable(path: str, document: Mapping[str, Any]) -> str:
    """`$.scanners[0].options.port` as `[[scanners]] number 1 'counter', port`."""
    steps = [name or int(index) for name, index in _PATH_STEP.findall(path)]
    match steps:
        case [str(section), int(index), *rest]:
            place = _table(section, index, document[section][index]) + ","
        case [str(section), *rest]:
            place = f"[{section}]"
        case _:
            return ""
    keys = [step for step in rest if isinstance(step, str) and step != "options"]
    return " ".join([place, *keys]).rstrip(",")


def _table(section: str, index: int, table: Any) -> str:
    """One of several tables as the operator finds it: by its number, and its name if it has one."""
    name = table.get("name") if isinstance(table, Mapping) else None
    return f"[[{section}]] number {index + 1}" + (f" {name!r}" if isinstance(name, str) else "")


def _check(settings: Settings, where: str) -> Iterator[SettingsError]:
    """What types cannot say."""
    try:
        loopback = ipaddress.ip_address(settings.page.host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        yield SettingsError(
            where,
            "[page] host",
            f"{settings.page.host!r} is not a loopback address",
            "The page shows members' points to whoever reaches it: use 127.0.0.1",
        )
    for problem, remedy in filter(None, map(origin_problem, settings.page.origins)):
        yield SettingsError(where, "[page] origins", problem, remedy)
    zone = settings.register.time_zone
    if zone is not None and not _is_time_zone(zone):
        yield SettingsError(
            where, "[register] time_zone", f"{zone!r} is no IANA time zone", "Write it like Europe/Belgrade"
        )
    names = [scanner.name for scanner in settings.scanners]
    for repeated in sorted({name for name in names if names.count(name) > 1}):
        yield SettingsError(
            where, "[[scanners]] name", f"{repeated!r} is used twice", "Give each its own name: messages use it"
        )
    for wrong in (problem for problem in rule_problems(settings.identification) if problem.serious):
        place = _table("identification", wrong.index or 0, {"name": wrong.name})
        key = f"{place}, {wrong.field}" if wrong.field else place
        yield SettingsError(where, key, wrong.problem, f"{wrong.remedy[:1].upper()}{wrong.remedy[1:]}")


def _is_time_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # the last of a folder of zones, such as `Europe`
        return False
    return True
