"""Which of the centre's templates read this register's paper: those that lose nothing on its stored captures.

Owns the trial before a published template goes live, and what is in force over a restart. Never reads a receipt
(`drivers.receipts` does) and never fetches a template (`sync` does).

Captures are the files in `captures/NAME` of the state folder, one folder for each source of receipts, read with that
source's own settings. A register without any takes what the centre publishes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import structlog
from msgspec import Struct
from msgspec.structs import replace

from drivers.capture import CaptureError, decode_capture, is_capture
from drivers.receipts.decode import DecodeOptionsError
from drivers.receipts.port import DecodeOptions
from drivers.receipts.retrial import StoredCapture, first_loss
from drivers.receipts.template import Template, TemplateError, template_from
from loyalty.centre_config import LayoutTemplate
from sync.loop import TEMPLATES_REFUSED
from sync.store.store import Store

FOLDER = "captures"
# A trial of so much takes seconds of a core; it is the first files in the order of their names that count.
MAX_CAPTURES = 200
MAX_CAPTURE_BYTES = 1024 * 1024

_META = "templates"
Options = Mapping[str, DecodeOptions]

log = structlog.get_logger(__name__)


class Refused(Struct, frozen=True, kw_only=True):
    """Why published templates are not in force, in the operator's words."""

    why: str


class CentralTemplates:
    """The centre's templates in force, and those that wait for their trial."""

    def __init__(self, store: Store, state: Path, options: Callable[[], Options], changed: Callable[[], None]) -> None:
        """`options` are those of each source by its name, without templates of the centre."""
        self._store = store
        self._folder = state / FOLDER
        self._options = options
        self._changed = changed
        self._kept = _kept(store)
        self._wanted = self._kept
        self._woken = asyncio.Event()
        self.in_force: tuple[Template, ...] = _readable(self._kept)
        self.problem: str | None = store.meta(TEMPLATES_REFUSED) or None

    def publish(self, published: Sequence[LayoutTemplate]) -> None:
        """What the centre has published: in force once it was tried."""
        self._wanted = tuple(published)
        self._woken.set()

    async def run(self, ready: Callable[[], None]) -> None:
        """Tries what is published and puts it in force, until cancelled. Raises StoreError."""
        ready()
        while True:
            self._woken.clear()
            if self._wanted != self._kept:
                await self._take(self._wanted)
            elif self.problem is not None:  # the centre went back to what is in force here
                await self._say(None)
            await self._woken.wait()

    async def _take(self, wanted: tuple[LayoutTemplate, ...]) -> None:
        tried = await asyncio.to_thread(tried_templates, wanted, self.in_force, self._options(), self._folder)
        if isinstance(tried, Refused):
            log.warning("templates_refused", templates=[template.name for template in wanted])
            await self._say(tried.why)
            return
        document = msgspec.json.encode(wanted).decode()
        await self._store.write(lambda writing: writing.set_meta(_META, document))
        self._kept, self.in_force = wanted, tried
        log.info("templates_in_force", templates=[template.name for template in tried])
        await self._say(None)

    async def _say(self, problem: str | None) -> None:
        """Also to the centre, with the next sign of life."""
        await self._store.write(lambda writing: writing.set_meta(TEMPLATES_REFUSED, problem or ""))
        self.problem = problem
        self._changed()


def tried_templates(
    wanted: Sequence[LayoutTemplate], before: tuple[Template, ...], options: Options, folder: Path
) -> tuple[Template, ...] | Refused:
    """The templates ready for use, or why they must not be used here. Takes seconds of a core with many captures."""
    try:
        after = tuple(template_from(one.toml.encode(), f"the centre's template {one.name}") for one in wanted)
    except TemplateError as error:
        told = " ".join(str(error).splitlines())
        return Refused(why=f"{told}. The templates before stay in force: correct it and publish it again")
    for source, own in options.items():
        with_before = replace(own, templates=(*own.templates, *before))
        with_after = replace(own, templates=(*own.templates, *after))
        try:
            loss = first_loss(stored_captures(folder / source), with_before, with_after)
        except DecodeOptionsError:
            continue  # the source itself says what is wrong with its settings
        if loss is not None:
            what = f"reads {loss.fact} otherwise" if loss.fact else "is no longer read"
            return Refused(
                why=f"the centre's templates are not in force: with them receipt {loss.number} in the capture "
                f"{folder.name}/{source}/{loss.capture} {what}; correct them, or remove the capture if it is wrong"
            )
    return after


def stored_captures(folder: Path) -> Iterator[StoredCapture]:
    """The captures of one source, in the order of their names. What cannot be read is left out, and said in the log."""
    try:
        files = sorted(file for file in folder.iterdir() if file.is_file() and not file.is_symlink())
    except OSError:
        return
    if len(files) > MAX_CAPTURES:
        log.warning("captures_left_out", folder=folder.name, count=len(files) - MAX_CAPTURES)
    for file in files[:MAX_CAPTURES]:
        try:
            with file.open("rb") as stream:
                document = stream.read(MAX_CAPTURE_BYTES)
            data = decode_capture(document).data if is_capture(document) else document
        except (OSError, CaptureError) as error:
            log.warning("capture_unreadable", capture=file.name, error=type(error).__name__)
            continue
        yield StoredCapture(name=file.name, document=data)


def _kept(store: Store) -> tuple[LayoutTemplate, ...]:
    kept = store.meta(_META)
    return msgspec.json.decode(kept, type=tuple[LayoutTemplate, ...]) if kept is not None else ()


def _readable(kept: Sequence[LayoutTemplate]) -> tuple[Template, ...]:
    """Those that this version reads: it was another one, perhaps, that kept them."""
    templates = []
    for one in kept:
        try:
            templates.append(template_from(one.toml.encode(), one.name))
        except TemplateError as error:
            log.warning("template_unreadable", template=one.name, reason=str(error))
    return tuple(templates)
