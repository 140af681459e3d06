"""What the parts of a register say of their settings, before it starts: readers, the way to the centre, updates.

Owns what only a part can judge: a name that it has to know, a file that it has to read. Never opens a device or a
connection, and judges no single value's type (`config.settings` does).
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
        yield from _of_reading(source, where)
    try:
        way_of(settings.centre.proxy, settings.centre.ca_file)
    except NetworkSettingError as error:
        yield SettingsError(
            where, f"[centre] {error.key}", error.problem, f"{error.remedy[:1].upper()}{error.remedy[1:]}"
        )
    if settings.update.root is not None:
        yield from _of_root(settings.update.root, where)


def _of_reading(source: ReceiptSettings, where: str) -> Iterator[SettingsError]:
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


def _of_root(file: Path, where: str) -> Iterator[SettingsError]:
    remedy = "Copy releases/metadata/1.root.json of the centre there"
    try:
        with file.open("rb") as stream:
            msgspec.json.decode(stream.read(MAX_ROOT_BYTES), type=_Root)
    except OSError as error:
        yield SettingsError(where, "[update] root", f"{str(file)!r} cannot be read ({error.strerror})", remedy)
    except UNDECODABLE:
        yield SettingsError(where, "[update] root", f"{str(file)!r} is no root of releases", remedy)
