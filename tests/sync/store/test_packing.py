"""Packing: the same bytes come out, for ever."""

from __future__ import annotations

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.compression import zstd
from sync.store.packing import MODEL, PACK_ABOVE_BYTES, Packer, unpacked
from tests.sync.store.samples import receipt

RECEIPT = msgspec.json.encode(receipt(1))


@given(st.text(max_size=2000))
def test_a_document_comes_out_as_it_went_in(text: str) -> None:
    document = msgspec.json.encode({"text": text})

    assert unpacked(Packer().pack(document)) == document


@pytest.mark.parametrize("length", [2, PACK_ABOVE_BYTES, PACK_ABOVE_BYTES + 1, 1_000_000])
def test_of_any_length(length: int) -> None:
    document = b'"' + b"x" * (length - 2) + b'"'

    assert unpacked(Packer().pack(document)) == document


def test_a_packer_is_used_again_and_again() -> None:
    packer = Packer()

    assert packer.pack(RECEIPT) == packer.pack(RECEIPT)
    assert len(packer.pack(RECEIPT)) < len(RECEIPT) / 2


def test_half_a_document_is_none() -> None:
    packed = Packer().pack(RECEIPT)

    with pytest.raises(zstd.ZstdError):
        unpacked(packed[: len(packed) // 2])


def test_the_model_never_changes_since_rows_were_packed_against_it() -> None:
    assert hashlib.sha256(MODEL).hexdigest() == "a14ffab96181715ff7f44909dd2e932a0527be14c960b28ae717657f367f30c0"
    assert (
        unpacked(
            bytes.fromhex(
                "28b52ffd600f00750300740433346130363934372d356566352d353135332d623737362d613035303565316263313736222c22616c736f223a5b5d31312d323254313231303070726f626c656d73223a5b5d7d0b009a040decc40185850de6c9e2c09305103ec3fc52fea1542ea0ac04e02d5417b644b602"
            )
        )
        == RECEIPT
    )
