"""By which options what came from a source is read, now.

Owns the way from the settings to the options of `drivers.receipts.decode`, and the name of all of them together, by
which a register knows that it would read something otherwise than before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from importlib.metadata import version

import msgspec

from agent.view import PlaceView
from config.settings import Settings
from drivers.receipts.port import DecodeOptions
from drivers.receipts.template import Template


def options_of(
    settings: Settings, place: PlaceView, source: str, templates: Mapping[str, tuple[Template, ...]]
) -> DecodeOptions:
    """The options of a source by its name; a scanner, or a source that is no more, has those of the register.

    `templates` are the sources', by name.
    """
    register = settings.register
    options = DecodeOptions(
        store=place.store, register=place.register, currency=register.currency, time_zone=register.time_zone
    )
    receipts = next((each for each in settings.receipts if each.name == source), None)
    if receipts is None:
        return options
    return msgspec.structs.replace(
        options,
        format="json" if receipts.webhook else receipts.format,
        code_page=receipts.code_page,
        profile=receipts.profile,
        letters={int(code, 16): letter for code, letter in receipts.letters.items()},
        templates=templates.get(source, ()),
    )


def reading_in_force(options: Iterable[DecodeOptions]) -> str:
    """A name for all by which receipts are read here: this version with its readers, and the sources' options."""
    return hashlib.sha256(version("tillside").encode() + msgspec.json.encode(list(options))).hexdigest()
