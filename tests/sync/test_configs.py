"""A config is used only if it is whole, by this register's centre, and readable; the kept one is checked as hard."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from loyalty.centre_config import CentreConfig, config_hash, config_json
from loyalty.identification import IdentificationRule
from sync import base64url
from sync.configs import ConfigUnusableError, keep_config, kept_config, kept_configs, verified_config
from sync.keys import keeper_for
from sync.signing import public_key_text
from sync.store.store import Store
from sync.wire import SignedConfig

KEY, OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32)), Ed25519PrivateKey.from_private_bytes(bytes([1] * 32))
CENTRE = public_key_text(KEY)
PLASTIC = CentreConfig(identification=(IdentificationRule(name="plastic", prefixes=("29",), lengths=(13,)),))


def signed(document: bytes = config_json(PLASTIC), key: Ed25519PrivateKey = KEY) -> SignedConfig:
    signature = base64url.encoded(key.sign(document))
    return SignedConfig(hash=config_hash(document), config=document.decode(), signature=signature)


def test_what_the_centre_signed_is_used() -> None:
    assert verified_config(signed(), CENTRE) == PLASTIC


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (signed(key=OTHER_KEY), "not signed by the centre"),
        (replace(signed(), signature=""), "not signed by the centre"),
        (replace(signed(), signature="!" * 86), "not signed by the centre"),
        (replace(signed(), config=signed().config.replace("29", "28")), "not signed by the centre"),
        (replace(signed(), config=signed().config + " "), "not signed by the centre"),
        (replace(signed(), hash="0" * 64), "publish its rules or templates again"),
        (signed(b'{"identification":[],"later":1}'), "'later'.*update the register"),
        (signed(b'{"identification":[{"name":"a","prefixes":["29"],"later":1}]}'), "'a', later.*update the register"),
        (signed(b'{"identification":[{"name":"a"}]}'), "update the register"),
        (signed(b"{"), "update the register"),
        # Another document that the same key signs
        (signed(b'{"currency":"RSD","earn":[],"program":"p"}'), "update the register"),
    ],
)
def test_anything_else_is_not(wrong: SignedConfig, words: str) -> None:
    with pytest.raises(ConfigUnusableError, match=words):
        verified_config(wrong, CENTRE)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store.db", keeper_for(tmp_path))


async def test_the_kept_one_comes_back_and_only_for_its_own_centre(store: Store) -> None:
    assert kept_config(store, CENTRE) is None

    await store.write(lambda writing: keep_config(writing, signed()))

    assert kept_config(store, CENTRE) == (signed().hash, PLASTIC)
    # Enrolled anew, at another centre
    assert kept_config(store, public_key_text(OTHER_KEY)) is None
    store.close()


@pytest.mark.parametrize("kept", ["", "{}", "null", '{"hash":"x"}'])
async def test_a_kept_one_that_is_no_config_is_none(store: Store, kept: str) -> None:
    await store.write(lambda writing: writing.set_meta("config", kept))

    assert kept_config(store, CENTRE) is None
    store.close()


PAPER = config_json(CentreConfig(identification=(IdentificationRule(name="paper", prefixes=("28",)),)))


async def test_the_one_before_is_kept_and_stands_in_for_one_that_cannot_be_read(store: Store) -> None:
    for document in (config_json(PLASTIC), PAPER, PAPER):
        await store.write(partial(keep_config, signed=signed(document)))

    assert [hashed for hashed, _ in kept_configs(store, CENTRE)] == [config_hash(PAPER), signed().hash]

    # when the register went back to a version that does not read the newest
    await store.write(lambda writing: keep_config(writing, signed(b'{"identification":[],"later":1}')))
    assert [hashed for hashed, _ in kept_configs(store, CENTRE)] == [config_hash(PAPER)]
    found = kept_config(store, CENTRE)
    assert found is not None
    assert found[0] == config_hash(PAPER)
    store.close()
