"""Who may use the local API: the control token, a POS's token, tokens of other origins, pairing codes and cookies.

Owns deciding from a request's own words whether it comes from this machine's cashier page, command line or POS, or from
a page of another origin that the settings let in. Never keeps a token or cookie (`agent.tokens`): a restart of the
agent does not send the cashier away. Pure but for the clock, the randomness and the tokens it is given.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Collection
from typing import Final, Literal

from msgspec import Struct

# Long enough for a browser's cold start, short enough to be useless in a shell's history.
PAIRING_LIVES_S = 60.0
# One person opens one page; more open codes than this were not asked for by one.
MAX_OPEN_PAIRINGS = 16
TOKEN_BYTES = 32

Party = Literal["page", "control", "pos", "display"]
Role = Literal["pos", "page", "display"]
"""What a token is for: what a POS may ask, what the cashier page may, or the customer view."""
View = Literal["cashier", "customer"]
"""Which page a pairing opens: the cashier's, or what the customer sees, which may nothing else."""
ROLE_OF: Final[dict[View, Role]] = {"cashier": "page", "customer": "display"}


RoleOf = Callable[[str, str], Role | None]


class Pairing(Struct, frozen=True, kw_only=True):
    """A one-time way in: open `url` within `expires_in_s`."""

    code: str
    url: str
    expires_in_s: float


class Access:
    """The gate of one register's API at `host:port`."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        control_token: str,
        monotonic_s: Callable[[], float],
        token: Callable[[], str],
        own_role_of: RoleOf,
        admit: Callable[[str, Role], str],
        pos_token: Callable[[], str | None] = lambda: None,
        origins: Collection[str] = (),
        role_of: RoleOf = lambda _origin, _token: None,
    ) -> None:
        """`own_role_of` says what the cookie of a page that is ours is for, as it is now; `admit` makes one.

        `pos_token` gives the token of a POS that posts receipts, as it is now; None where nobody made one. `origins`
        are those of others whose pages are let in; `role_of` says what a token of one is for, as it is now.
        """
        self.authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.origin = f"http://{self.authority}"
        # A browser keeps one jar per host, whatever the port: two registers on one machine need two names.
        self.cookie_name = f"tillside-{port}"
        self.display_cookie_name = f"tillside-{port}-customer"
        self._control_token = control_token
        self._monotonic_s = monotonic_s
        self._token = token
        self._pos_token = pos_token
        self._origins = frozenset(origins)
        self._role_of = role_of
        self._own_role_of = own_role_of
        self._admit = admit
        self._pairings: dict[str, tuple[float, View]] = {}

    def is_ours(self, host: str | None, origin: str | None) -> bool:
        """Whether the request was meant for this listener and comes from no site that is not let in.

        A name that was rebound to 127.0.0.1 shows in Host, another site's page in Origin. Programs send
        no Origin.
        """
        return host == self.authority and (origin in (None, self.origin) or origin in self._origins)

    def elsewhere(self, host: str | None, origin: str | None) -> str | None:
        """The origin of another's page that is let in, where the request comes from one; else None."""
        return origin if origin != self.origin and self.is_ours(host, origin) else None

    def party(
        self,
        authorization: str | None,
        cookie: str | None,
        display_cookie: str | None = None,
        *,
        elsewhere: str | None = None,
    ) -> Party | None:
        """Who is asking, or None for nobody we know. `elsewhere` is the origin of another's page that asks.

        A browser would send our cookies from another port of this machine, too: such a page has its token alone.
        """
        if elsewhere is not None:
            scheme, _, token = (authorization or "").partition(" ")
            return self._role_of(elsewhere, token) if scheme == "Bearer" else None
        if authorization is not None:
            if _is_bearer(authorization, self._control_token):
                return "control"
            pos_token = self._pos_token()
            return "pos" if pos_token is not None and _is_bearer(authorization, pos_token) else None
        if cookie is not None and self._own_role_of(self.origin, cookie) == "page":
            return "page"
        if display_cookie is not None and self._own_role_of(self.origin, display_cookie) == "display":
            return "display"
        return None

    def open_pairing(self, view: View = "cashier") -> Pairing:
        """A new code; the oldest gives way where too many are open."""
        self._forget_expired()
        while len(self._pairings) >= MAX_OPEN_PAIRINGS:
            self._pairings.pop(next(iter(self._pairings)))
        code = self._token()
        self._pairings[code] = (self._monotonic_s() + PAIRING_LIVES_S, view)
        return Pairing(code=code, url=f"{self.origin}/pair?code={code}", expires_in_s=PAIRING_LIVES_S)

    def redeem(self, code: str) -> View | None:
        """The page that a code opens, once; None for a code that is unknown, used or too old."""
        self._forget_expired()
        known = self._pairings.pop(code, None)
        return known[1] if known is not None else None

    def admit(self, view: View) -> str:
        """The cookie for a page. Waits for the disk. Raises SecretError and OSError."""
        return self._admit(self.origin, ROLE_OF[view])

    def _forget_expired(self) -> None:
        now = self._monotonic_s()
        self._pairings = {code: known for code, known in self._pairings.items() if known[0] > now}


def _is_bearer(authorization: str, token: str) -> bool:
    return hmac.compare_digest(_bytes(authorization), _bytes(f"Bearer {token}"))


def _bytes(text: str) -> bytes:
    """What was sent; bytes that are no UTF-8 come in as surrogates, which plain UTF-8 would refuse."""
    return text.encode(errors="surrogatepass")
