"""`tillside config check` and `show`: what is wrong with the settings, and which are in force, by whose word."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping

from msgspec import Struct

from agent.cli.connection import AgentUnreachableError, inspection
from agent.cli.exit_codes import DONE, USAGE
from agent.cli.outcome import guarded, say, say_json
from agent.inspection import NoRegisterError, NotFoundError
from agent.scanner_settings import scanner_problems
from agent.setting_checks import part_problems
from agent.windows.limits import problems as problems_on_windows
from config.load import Loaded, load_and_judge, state_folder
from config.origins import ValueInForce, values_in_force
from config.settings import Settings, SettingsError
from sync.enrolment import EnrolmentError, load_enrolment
from sync.keys import SecretError
from sync.store.errors import StoreError


class WrongSetting(Struct, frozen=True, kw_only=True):
    """`where` is the file or the variable; `key` is empty where that itself is wrong."""

    where: str
    key: str
    problem: str
    remedy: str


class CheckedSettings(Struct, frozen=True, kw_only=True):
    file: str
    problems: tuple[WrongSetting, ...]


class SettingsInForce(Struct, frozen=True, kw_only=True):
    """`unknown` says why the centre's part cannot be told; empty where it can, or where there is none."""

    file: str
    values: tuple[ValueInForce, ...]
    unknown: str


def config_check_command(*, config: str | None, as_json: bool, environment: Mapping[str, str] | None = None) -> int:
    """Say everything that is wrong. Exit codes: 0 nothing is, 2 something is."""
    loaded = load_and_judge(config, environment)
    problems = loaded.problems
    if loaded.settings is not None:
        problems = tuple(_of_parts(loaded.settings, str(loaded.file)))
    wrong = tuple(
        WrongSetting(where=each.where, key=each.key, problem=each.problem, remedy=each.remedy) for each in problems
    )
    if as_json:
        say_json(CheckedSettings(file=str(loaded.file), problems=wrong))
    elif not problems:
        say(f"{loaded.file}: nothing is wrong.")
    for problem in () if as_json else problems:
        say(str(problem))
    return USAGE if problems else DONE


def config_show_command(*, config: str | None, as_json: bool, environment: Mapping[str, str] | None = None) -> int:
    """Print each setting in force and where it comes from. Exit codes: 0 done, 2 a setting is wrong."""

    def work() -> int:
        loaded = load_and_judge(config, environment)
        if loaded.settings is None:
            raise loaded.problems[0]
        shown = _in_force(loaded, loaded.settings, os.environ if environment is None else environment)
        if as_json:
            say_json(shown)
            return DONE
        for each in shown.values:
            origin = f"{each.origin} {each.source}".rstrip()
            say(f"{each.key} = {json.dumps(each.value, ensure_ascii=False)}  ({origin})")
        if shown.unknown:
            say(f"What the centre says besides cannot be told: {shown.unknown}")
        return DONE

    return guarded("config show", work, as_json=as_json)


def _of_parts(settings: Settings, where: str) -> Iterator[SettingsError]:
    """What the parts that are set say of their settings."""
    yield from problems_on_windows(settings, where)
    yield from scanner_problems(settings, where)
    yield from part_problems(settings, where)


def _in_force(loaded: Loaded, settings: Settings, environment: Mapping[str, str]) -> SettingsInForce:
    values = {each.key: each for each in values_in_force(loaded, settings, environment)}
    try:
        enrolment = load_enrolment(state_folder(settings))
    except EnrolmentError:
        return SettingsInForce(file=str(loaded.file), values=tuple(values.values()), unknown="")
    for key, value in (("register.store", enrolment.store), ("register.register", enrolment.register)):
        values[key] = _of_centre(key, value, enrolment.url)
    unknown = ""
    try:
        with inspection(settings) as register:
            status = register.status()
        values["identification"] = _of_centre("identification", f"{status.rules.centre} rules", enrolment.url)
        values["templates"] = _of_centre("templates", status.templates, enrolment.url)
    except (AgentUnreachableError, NoRegisterError, NotFoundError, StoreError, SecretError, OSError) as error:
        unknown = str(error)
    return SettingsInForce(file=str(loaded.file), values=tuple(values.values()), unknown=unknown)


def _of_centre(key: str, value: object, url: str) -> ValueInForce:
    return ValueInForce(key=key, value=value, origin="centre", source=url)
