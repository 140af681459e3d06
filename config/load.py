"""Reads settings from the file and the environment of this process.

Owns where the file and the state folder are looked for. Never judges a value (`config.settings` does).
"""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Mapping, Sequence
from os.path import normpath
from pathlib import Path
from typing import Any

import platformdirs
from msgspec import Struct
from msgspec.structs import replace

from config.settings import (
    SPOOL_OPTION,
    PathSettings,
    ReceiptSettings,
    ScannerSettings,
    Settings,
    SettingsError,
    UpdateSettings,
    judged_settings,
)

FILE_NAME = "tillside.toml"
FILE_VARIABLE = "TILLSIDE_CONFIG"
MAX_FILE_BYTES = 1024 * 1024
TEMPLATE_ENDING = ".toml"


class Loaded(Struct, frozen=True, kw_only=True):
    """What a settings file and the environment came to: `settings`, or None and `problems`.

    `document` is the file as it was written.
    """

    file: Path
    document: dict[str, Any]
    settings: Settings | None
    problems: tuple[SettingsError, ...] = ()


def load_settings(path: str | Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from `path`, else from the file that TILLSIDE_CONFIG names, else from the default place.

    Only the file at the default place may be missing. Relative folders are taken from the file's own
    folder, and `paths.state` is always set in the result. Raises the first SettingsError.
    """
    loaded = load_and_judge(path, environment)
    if loaded.settings is None:
        raise loaded.problems[0]
    return loaded.settings


def load_and_judge(path: str | Path | None = None, environment: Mapping[str, str] | None = None) -> Loaded:
    """The same with everything that is wrong, for who corrects it."""
    environment = os.environ if environment is None else environment
    file = settings_file(path, environment)
    document: dict[str, Any] = {}
    try:
        document = _read(file, must_exist=bool(path or environment.get(FILE_VARIABLE)))
        judged = judged_settings(document, environment, where=str(file))
        settings = _with_folders(file, judged.settings) if judged.settings is not None else None
    except SettingsError as error:
        return Loaded(file=file, document=document, settings=None, problems=(error,))
    return Loaded(file=file, document=document, settings=settings, problems=judged.problems)


def _with_folders(file: Path, settings: Settings) -> Settings:
    """Every relative folder taken from the file's own. Raises SettingsError where two are one."""
    state = settings.paths.state or default_state_folder()
    receipts = tuple(_with_folders_from(file.parent, source) for source in settings.receipts)
    scanners = tuple(_with_folder_from(file.parent, scanner) for scanner in settings.scanners)
    _refuse_one_folder_for_two(scanners, receipts, where=str(file))
    root, ca_file = settings.update.root, settings.centre.ca_file
    return replace(
        settings,
        paths=PathSettings(state=file.parent / state),
        centre=replace(settings.centre, ca_file=file.parent / ca_file if ca_file is not None else None),
        update=UpdateSettings(root=file.parent / root if root is not None else None),
        scanners=scanners,
        receipts=receipts,
    )


def _refuse_one_folder_for_two(
    scanners: Sequence[ScannerSettings], receipts: Sequence[ReceiptSettings], *, where: str
) -> None:
    """Two readers of one spool would each take all of it, and each say for the other what is taken.

    The folders are absolute by now. Raises SettingsError.
    """
    spools = [scanner.options.get(SPOOL_OPTION) for scanner in scanners]
    spools += [str(folder) for source in receipts for folder in (source.spool, source.folder) if folder is not None]
    folders = [normpath(spool) for spool in spools if isinstance(spool, str)]
    repeated = next((folder for folder in folders if folders.count(folder) > 1), None)
    if repeated is not None:
        raise SettingsError(
            where, "spool", f"{repeated!r} is used twice", "Give each shared scanner and each source its own folder"
        )


def _with_folders_from(folder: Path, source: ReceiptSettings) -> ReceiptSettings:
    return replace(
        source,
        spool=folder / source.spool if source.spool is not None else None,
        folder=folder / source.folder if source.folder is not None else None,
        mapping=folder / source.mapping if source.mapping is not None else None,
        template=_template_from(folder, source.template),
    )


def _template_from(folder: Path, template: str | None) -> str | None:
    """A template's file taken from `folder`; one without the ending is the name of a shipped one."""
    return str(folder / template) if template is not None and template.endswith(TEMPLATE_ENDING) else template


def _with_folder_from(folder: Path, scanner: ScannerSettings) -> ScannerSettings:
    """The scanner with its `spool`, the one option that names a folder, taken from `folder`."""
    spool = scanner.options.get(SPOOL_OPTION)
    if not isinstance(spool, str) or not spool:
        return scanner
    return replace(scanner, options={**scanner.options, SPOOL_OPTION: str(folder / spool)})


def settings_file(path: str | Path | None = None, environment: Mapping[str, str] | None = None) -> Path:
    """The file that `load_settings` reads, whether it is there or not."""
    environment = os.environ if environment is None else environment
    named = path or environment.get(FILE_VARIABLE)
    return Path(named).absolute() if named else default_file()


def state_folder(settings: Settings) -> Path:
    """The folder that holds everything this register keeps."""
    return settings.paths.state or default_state_folder()


def default_file() -> Path:
    """`/etc/tillside/tillside.toml` for the system's service, the user's configuration folder otherwise."""
    if _runs_as_service():
        return Path("/etc/tillside") / FILE_NAME
    return platformdirs.user_config_path("tillside", appauthor=False) / FILE_NAME


def default_state_folder() -> Path:
    """`/var/lib/tillside` for the system's service, the user's state folder otherwise."""
    if _runs_as_service():
        return Path("/var/lib/tillside")
    return platformdirs.user_state_path("tillside", appauthor=False)


def _runs_as_service() -> bool:
    return sys.platform != "win32" and os.geteuid() == 0


def _read(file: Path, *, must_exist: bool) -> dict[str, Any]:
    where = str(file)
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError as error:
        if not must_exist:
            return {}
        raise SettingsError(where, "", "no such file", "Create it, or name another with --config") from error
    except OSError as error:
        raise SettingsError(where, "", f"cannot be read ({error.strerror})", "Check its owner and mode") from error
    if len(content) > MAX_FILE_BYTES:
        raise SettingsError(where, "", f"larger than {MAX_FILE_BYTES} bytes", "This is no settings file; name another")
    try:
        return tomllib.loads(content.decode())
    except UnicodeDecodeError as error:
        raise SettingsError(where, f"byte {error.start}", "not UTF-8", "Save the file as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(where, "", f"not TOML: {error}", "Correct that line") from error
