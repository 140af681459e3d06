"""What the parts of a register say of their settings: readers, the way to the centre, updates.

Owns what only a part can judge: a name that it has to know, a file that it has to read. None of it keeps the register
from starting: a source whose reading is wrong fails by itself, and its receipts wait; without its way to the centre a
register sells on, and without a root it has no updates. Never opens a device or a connection, and judges no single
value's type (`config.settings` does, and a register does not start with such).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from config.settings import ReceiptSettings, Settings, SettingsError
from loyalty.undecodable import UNDECODABLE
from sync.network import NetworkSettingError, way_of

MAX_ROOT_BYTES: Final = 1024 * 1024


class _Signed(Struct, frozen=True):
    kind: Literal["root"] = msgspec.field(name="_type")


class _Root(Struct, frozen=True):
    """As much of a root's metadata as tells it apart from any other file."""

    signed: _Signed


def part_problems(settings: Settings, where: str) -> Iterator[SettingsError]:
    """All that is wrong, each with the key in the file `where` and what to write there."""
    for source in settings.receipts:
        yield from reading_problems(source, where)
    try:
        way_of(settings.centre.proxy, settings.centre.ca_file)
    except NetworkSettingError as error:
        yield way_problem(error, where)
    if settings.update.root is not None:
        yield from root_problems(settings.update.root, where)


def way_problem(error: NetworkSettingError, where: str) -> SettingsError:
    """The same with the file in which it stands."""
    remedy = f"{error.remedy[:1].upper()}{error.remedy[1:]}"
    return SettingsError(where, f"[centre] {error.key}", error.problem, remedy)


def reading_problems(source: ReceiptSettings, where: str) -> Iterator[SettingsError]:
    """Why what comes from a source could not be read."""
    if source.code_page is None and source.profile is None and source.template is None:
        return
    # Readers are loaded where there is something to read.
    from drivers.escpos.codepages import CodePageError, code_page, profile_pages  # noqa: PLC0415
    from drivers.receipts.template import TemplateError  # noqa: PLC0415
    from drivers.receipts.template_files import load_template  # noqa: PLC0415

    place = f"[[receipts]] {source.name!r}"
    for key, name, look in (("code_page", source.code_page, code_page), ("profile", source.profile, profile_pages)):
        try:
            if name is not None:
                look(name)
        except CodePageError as error:
            problem, _, known = str(error).partition("; ")
            yield SettingsError(where, f"{place} {key}", problem, f"{known[:1].upper()}{known[1:]}")
    try:
        if source.template is not None:
            load_template(source.template)
    except TemplateError as error:
        for each in error.problems:
            if each.key:
                yield SettingsError(error.where, each.key, each.problem, each.remedy)
            else:
                problem = f"{source.template!r} cannot be used ({each.problem})"
                yield SettingsError(where, f"{place} template", problem, each.remedy)


def root_problems(file: Path, where: str) -> Iterator[SettingsError]:
    """Why no release could be proven."""
    remedy = "Copy releases/metadata/1.root.json of the centre there"
    try:
        with file.open("rb") as stream:
            msgspec.json.decode(stream.read(MAX_ROOT_BYTES), type=_Root)
    except PermissionError:
        return  # the updater alone has to read it, as root
    except OSError as error:
        yield SettingsError(where, "[update] root", f"{str(file)!r} cannot be read ({error.strerror})", remedy)
    except UNDECODABLE:
        yield SettingsError(where, "[update] root", f"{str(file)!r} is no root of releases", remedy)
