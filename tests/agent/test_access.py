"""The gate of the local API, decided without a socket."""

from __future__ import annotations

from itertools import count

import pytest

from agent.access import MAX_OPEN_PAIRINGS, PAIRING_LIVES_S, Access, Role


class Gate(Access):
    """An Access whose clock and tokens the test moves; `pages` are the cookies that count."""

    def __init__(self, *, port: int = 8787, host: str = "127.0.0.1") -> None:
        self.seconds = 0.0
        self.pages: dict[tuple[str, str], Role] = {}
        numbers = count(1)

        def admit(origin: str, role: Role) -> str:
            cookie = f"cookie-{len(self.pages)}"
            self.pages[origin, cookie] = role
            return cookie

        super().__init__(
            host=host,
            port=port,
            control_token="secret",
            monotonic_s=lambda: self.seconds,
            token=lambda: f"token-{next(numbers)}",
            own_role_of=lambda origin, cookie: self.pages.get((origin, cookie)),
            admit=admit,
        )


@pytest.mark.parametrize(
    ("host", "origin", "ours"),
    [
        ("127.0.0.1:8787", None, True),
        ("127.0.0.1:8787", "http://127.0.0.1:8787", True),
        ("127.0.0.1:8787", "null", False),
        ("127.0.0.1:8787", "", False),
        ("127.0.0.1:8787", "https://127.0.0.1:8787", False),
        ("127.0.0.1:8787", "http://127.0.0.1:8788", False),
        ("127.0.0.1:8787", "http://shop.example", False),
        ("127.0.0.1", None, False),
        ("localhost:8787", None, False),
        ("attacker.example:8787", None, False),
        ("127.0.0.1:8788", None, False),
        (None, None, False),
    ],
)
def test_only_our_own_host_and_origin_are_ours(host: str | None, origin: str | None, ours: bool) -> None:
    assert Gate().is_ours(host, origin) is ours


def test_ipv6_loopback_is_written_as_browsers_write_it() -> None:
    assert Gate(host="::1").is_ours("[::1]:8787", "http://[::1]:8787")


@pytest.mark.parametrize(
    ("authorization", "party"),
    [
        ("Bearer secret", "control"),
        ("Bearer secre", None),
        ("Bearer secretx", None),
        ("bearer secret", None),
        ("secret", None),
        ("", None),
        ("Bearer sécret", None),
    ],
)
def test_the_control_token_is_exact(authorization: str, party: str | None) -> None:
    assert Gate().party(authorization, None) == party


def test_a_pairing_code_opens_its_page_once() -> None:
    gate = Gate()
    pairing = gate.open_pairing()
    assert pairing.url == f"http://127.0.0.1:8787/pair?code={pairing.code}"

    assert gate.redeem(pairing.code) == "cashier"
    assert gate.redeem(pairing.code) is None
    assert gate.redeem(gate.open_pairing("customer").code) == "customer"


def test_a_customer_views_cookie_opens_no_other_page() -> None:
    gate = Gate()
    cashier, customer = gate.admit("cashier"), gate.admit("customer")

    assert gate.party(None, cashier) == "page"
    assert gate.party(None, None, customer) == "display"
    # neither in the place of the other
    assert gate.party(None, customer) is None
    assert gate.party(None, None, cashier) is None
    # who has both is the cashier
    assert gate.party(None, cashier, customer) == "page"


def test_a_pairing_code_lives_shortly() -> None:
    gate = Gate()
    code = gate.open_pairing().code

    gate.seconds = PAIRING_LIVES_S

    assert gate.redeem(code) is None


def test_open_pairings_are_bounded_and_the_newest_stay() -> None:
    gate = Gate()
    codes = [gate.open_pairing().code for _ in range(MAX_OPEN_PAIRINGS + 1)]

    assert gate.redeem(codes[0]) is None
    assert gate.redeem(codes[-1]) is not None


def test_a_cookie_counts_as_long_as_it_is_kept() -> None:
    gate = Gate()
    cookie = gate.admit("cashier")

    assert gate.party(None, "made up") is None
    assert gate.party(f"Bearer {cookie}", None) is None
    gate.pages.clear()
    assert gate.party(None, cookie) is None


def test_a_wrong_token_is_not_saved_by_a_good_cookie() -> None:
    gate = Gate()
    cookie = gate.admit("cashier")

    assert gate.party("Bearer wrong", cookie) is None


@pytest.mark.parametrize("text", ["\udcff", "Bearer \udcff", "token-2.\udcff", "\udcff.token"])
def test_bytes_that_are_no_text_are_nobody(text: str) -> None:
    access = Gate()

    assert access.party(text, None) is None
    assert access.party(None, text) is None
    assert access.redeem(text) is None
