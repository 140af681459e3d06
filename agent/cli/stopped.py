"""A register whose agent does not run: its store, opened for one command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from agent.inspection import NoRegisterError, RulesInForce
from agent.recognition import Recognition
from agent.state import keeper_of, open_to_look, place_of, sources_of, store_path
from agent.store_inspection import Live, StoreInspection
from agent.view import BadgeView, PlaceView
from config.load import state_folder
from config.settings import Settings
from sync.configs import kept_config
from sync.delayed_enrolment import told_of_code
from sync.enrolment import Enrolment, EnrolmentError, load_enrolment
from sync.item_maps import kept_item_map
from sync.store.store import Store

if TYPE_CHECKING:
    from drivers.receipts.port import DecodeOptions


@contextmanager
def stopped_register(settings: Settings) -> Iterator[StoreInspection]:
    """Its answers; asking repairs nothing. Raises NoRegisterError, StoreError and SecretError."""
    if not store_path(settings).exists():
        raise NoRegisterError(
            f"there is no register at {store_path(settings).parent}: start it with `tillside run`, or name its "
            "settings with --config"
        )
    store = open_to_look(settings, keeper_of(settings))
    try:
        page = settings.page
        enrolment = _enrolment(settings)
        live = Live(
            running=False,
            place=place_of(settings, enrolment),
            badge=BadgeView(enrolled=enrolment is not None, online=False, since=None, queued=store.queued()),
            device=enrolment.device if enrolment is not None else None,
            page=f"http://{page.host}:{page.port}/",
            code_given=told_of_code(state_folder(settings)) if enrolment is None else "",
            rules=_rules(settings, enrolment, store),
            sources=sources_of(settings),
            item_map=_item_map(enrolment, store),
        )
        yield StoreInspection(store, lambda: live, options=lambda source: _options(settings, live.place, source))
    finally:
        store.close()


def _options(settings: Settings, place: PlaceView, source: str) -> DecodeOptions:
    from agent.layouts import templates_of
    from agent.reading_options import options_of

    return options_of(settings, place, source, templates_of(settings))


def _rules(settings: Settings, enrolment: Enrolment | None, store: Store) -> RulesInForce:
    """Those that would be in force if the agent ran."""
    recognition = Recognition(settings.identification)
    kept = kept_config(store, enrolment.program_key) if enrolment is not None else None
    recognition.use_central(kept[1].identification if kept is not None else ())
    return recognition.in_force


def _item_map(enrolment: Enrolment | None, store: Store) -> str | None:
    kept = kept_item_map(store, enrolment.program_key) if enrolment is not None else None
    return kept.hash if kept is not None else None


def _enrolment(settings: Settings) -> Enrolment | None:
    try:
        return load_enrolment(state_folder(settings))
    except EnrolmentError:
        return None
