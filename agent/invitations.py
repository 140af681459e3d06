"""Joining by telephone: the code of a sale whose customer has no card, and the picture of where it leads.

Owns making one and saying how it is shown. Nothing is kept of a code: that it is one of ours can be told from itself,
so it is shown again after a restart. Never says whose it is.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from agent.sale_shapes import SaleRefusedError
from agent.view import InvitationView
from loyalty.join_codes import is_join_code, made_join_code
from loyalty.made_codes import shown_code
from sync.qr import qr_path
from sync.store.store import Store


class Invitations:
    """Those of one register. `place` says which store it is, once the centre has; `randomness` gives bytes."""

    def __init__(
        self, store: Store, place: Callable[[], str | None], randomness: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        self._store = store
        self._place = place
        self._randomness = randomness

    @property
    def are_offered(self) -> bool:
        """Whether the centre has a page on which people join, and the register can make its codes."""
        return bool(self._store.join_url()) and self._store.code_key() is not None and self._place() is not None

    def make(self) -> str:
        """A new code, in normal form. Raises SaleRefusedError."""
        key, place = self._store.code_key(), self._place()
        if not self._store.join_url() or key is None or place is None:
            raise SaleRefusedError(
                "no_join_page", "The centre has told of no page on which people join: let them join at the till."
            )
        return made_join_code(self._randomness, key, place)

    def view(self, code: str) -> InvitationView | None:
        """What is shown of a code by which somebody may join; None of any other."""
        url = self._store.join_url()
        return drawn(url, code) if url and is_join_code(code) else None


def drawn(url: str, code: str) -> InvitationView:
    """The picture of the page at `url` with this code."""
    shown = shown_code(code)
    picture = qr_path(f"{url}#{shown}")
    return InvitationView(url=url, code=shown, size=picture.size, path=picture.path)
