"""Codes that stand for a card: which of them spend, and that nobody but the chain can tell."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from loyalty.identification import is_member_code
from loyalty.join_codes import is_join_code, made_join_code
from loyalty.made_codes import shown_code
from loyalty.wallet_codes import made_wallet_code, only_earns

KEY = "ab" * 32


@pytest.mark.parametrize("spends", [True, False])
def test_a_code_says_what_may_be_done_with_it_to_whoever_has_the_key(spends: bool) -> None:
    code = made_wallet_code(secrets.token_bytes, KEY, spends=spends)

    assert is_member_code(code, "wallet")
    assert only_earns(code, KEY) is not spends
    # another chain's says nothing here, and of what may be ours nothing is spent before the key is known
    assert not only_earns(code, "cd" * 32)
    assert only_earns(code, None)


def test_other_codes_are_none_of_these() -> None:
    join = made_join_code(secrets.token_bytes, KEY, "earns")

    assert not is_join_code(made_wallet_code(secrets.token_bytes, KEY, spends=True))
    for code in ("", "W", "WALLET1", join, "W" + join[1:]):
        assert not only_earns(code, KEY)


def test_the_example_of_the_protocol_is_one() -> None:
    shown = "WXFS-A9E9-QKTF-WEKR-2QSG-EB9C"

    assert not only_earns(shown.replace("-", ""), bytes(range(32)).hex())
    assert shown in (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
    assert shown == shown_code(shown.replace("-", ""))
