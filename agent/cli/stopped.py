"""A register whose agent does not run: its store, opened for one command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from agent.inspection import NotFoundError
from agent.state import keeper_of, open_store, store_path
from agent.store_inspection import Live, StoreInspection
from agent.view import BadgeView, PlaceView
from config.settings import Settings


@contextmanager
def stopped_register(settings: Settings) -> Iterator[StoreInspection]:
    """Its answers. Raises NotFoundError where there is no store yet, StoreError and SecretError."""
    if not store_path(settings).exists():
        raise NotFoundError(
            f"there is no register at {store_path(settings).parent}: start it with `tillside run`, or name its "
            "settings with --config"
        )
    store = open_store(settings, keeper_of(settings))
    try:
        page = settings.page
        live = Live(
            running=False,
            place=PlaceView(store=settings.register.store, register=settings.register.register),
            badge=BadgeView(enrolled=False, online=False, since=None, queued=store.queued()),
            page=f"http://{page.host}:{page.port}/",
        )
        yield StoreInspection(store, lambda: live)
    finally:
        store.close()
