"""Who may see the admin pages: one-time links, session cookies, form tokens.

Owns what a session is and the checks against other sites' pages. A session is a cookie that only this
centre can make; nothing is kept of it. Never renders anything.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, select, update

from central.db import tables
from central.devices import Randomness
from central.enrolling import token_hash
from central.folder import Address

COOKIE = "tillside_admin"
# A working day; then the link is opened anew.
SESSION_LIFE = timedelta(hours=12)
_NONCE_BYTES = 16


class Sessions:
    """Makes and checks session cookies and the form tokens that go with them."""

    def __init__(self, secret: bytes, randomness: Randomness) -> None:
        self._secret = secret
        self._randomness = randomness

    def cookie(self, now: datetime) -> str:
        content = f"{int((now + SESSION_LIFE).timestamp())}.{self._randomness(_NONCE_BYTES).hex()}"
        return f"{content}.{self._mac('session', content)}"

    def holds(self, cookie: str, now: datetime) -> bool:
        """Whether this centre made the cookie and its time is not over."""
        content, _, mac = cookie.rpartition(".")
        if not hmac.compare_digest(_bytes(mac), _bytes(self._mac("session", content))):
            return False
        expires = datetime.fromtimestamp(int(content.partition(".")[0]), UTC)
        return now < expires

    def form_token(self, cookie: str) -> str:
        """What a form of this session must carry."""
        return self._mac("form", cookie)

    def form_holds(self, cookie: str, token: str) -> bool:
        return hmac.compare_digest(_bytes(token), _bytes(self.form_token(cookie)))

    def _mac(self, purpose: str, content: str) -> str:
        return hmac.new(self._secret, _bytes(f"{purpose}:{content}"), hashlib.sha256).hexdigest()


def _bytes(text: str) -> bytes:
    """What was sent; bytes that are no UTF-8 come in as surrogates, which plain UTF-8 would refuse."""
    return text.encode(errors="surrogatepass")


def use_link(connection: Connection, token: str, now: datetime) -> bool:
    """Use up a one-time link; False where there is none, it was used, or its time is over."""
    links = tables.admin_links
    row = connection.execute(
        select(links).where(links.c.token_hash == token_hash(token)).with_for_update()
    ).one_or_none()
    if row is None or row.used_at is not None or now >= row.expires_at:
        return False
    connection.execute(update(links).where(links.c.token_hash == row.token_hash).values(used_at=now))
    return True


def allowed_hosts(bound: Address) -> frozenset[str]:
    """The exact Host headers that mean this listener; any other name is someone else's page."""
    return frozenset({str(bound), str(Address(host="localhost", port=bound.port))})
