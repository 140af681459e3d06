"""JSON documents as the store keeps them: compressed, so that less is encrypted, synced and kept on the disk.

Owns the model document that stands for what all receipts have in common. Never changes a byte of a document,
since it is what was hashed.
"""

from __future__ import annotations

from sync.compression import zstd

# With the model this halves a receipt twice (1,490 bytes of a real one become 560), in 3 to 5 µs. The default level
# saves another fifth for twice the time.
LEVEL = -5
# Below this a frame's own bytes outweigh what it saves.
PACK_ABOVE_BYTES = 64

# A zstd frame starts with these (RFC 8878, 3.1.1) and no JSON document does.
_FRAME = b"\x28\xb5\x2f\xfd"

# What is kept was packed against exactly these bytes: they never change. Another model needs another mark before the
# frame. What receipts repeat most stands last, where a reference to it is shortest.
MODEL = (
    '{"target":"","what":"","reverses":null,"pending_until":"2026-01-01T00:00:00Z","problems":[{"code":"weak_identity",'
    '"detail":""},{"code":"total_mismatch","detail":""}],"original":{"key":"","number":"","store":"","register":"",'
    '"business_day":"","issued_at":""},"discounts":[{"description":"","amount_minor":0}],{"kind":"foreign",'
    '"currency":"EUR","foreign_minor":0},"sku":"","buyer_kind":"","verification_url":"https://suf.purs.gov.rs/v/?vl=",'
    '"status":"voided","kind":"return","kind":"exchange",{"receipt":{"key":"00000000-0000-5000-8000-000000000000",'
    '"also":["pos:1/1/2026-01-01/1"],"source":"purs-journal","kind":"sale","status":"final","store":"1","register":"1",'
    '"number":"","business_day":"2026-01-01","issued_at":"2026-01-01T00:00:00+01:00",'
    '"captured_at":"2026-01-01T00:00:00.000000Z","operator":"","currency":"EUR","total_minor":0,"rounding_minor":0,'
    '"lines":[{"position":1,"kind":"goods","description":"","gtin":"","quantity":"1","unit":"KOM","unit_price":"1.99",'
    '"discount_minor":0,"amount_minor":199,"tax_labels":["A"],"voided":false,"tags":[]},{"position":2,"kind":"goods",'
    '"description":"","quantity":"1.000","unit":"KG","unit_price":"0.99","discount_minor":0,"amount_minor":99,'
    '"tax_labels":["Ђ"],"voided":false,"tags":[]}],"discounts":[],"taxes":[{"label":"Ђ","name":"О-ПДВ","rate":"20.00",'
    '"amount_minor":0,"included":true},{"label":"A","name":"","rate":"10.00","amount_minor":0,"included":true}],'
    '"tenders":[{"kind":"cash","description":"","amount_minor":0},{"kind":"card","amount_minor":0}],"change_minor":0,'
    '"fiscal":{"scheme":"rs-purs","number":"","counter":"","issuer":{"tin":"","name":"","location_id":"",'
    '"location_name":"","address":"","city":""}},"member":{"code":"","kind":"card","entry":"scanned"},"problems":[]},'
    '"member":"","claims":[{"receipt":"","rule":"base","points":1,"basis_minor":100,"pending_until":null,'
    '"expires_at":null,"reverses":null,"why":"floor(100 × 1 ÷ 100) = 1"}],"program":"","as_of":1}'
).encode()

_MODEL = zstd.ZstdDict(MODEL, is_raw=True)


class Packer:
    """Compresses documents, with buffers of its own: for one thread."""

    def __init__(self) -> None:
        self._compressor = zstd.ZstdCompressor(level=LEVEL, zstd_dict=_MODEL)

    def pack(self, document: bytes) -> bytes:
        """The form to keep; `unpacked` is the inverse."""
        if len(document) <= PACK_ABOVE_BYTES:
            return document
        return self._compressor.compress(document, zstd.ZstdCompressor.FLUSH_FRAME)


def unpacked(kept: bytes) -> bytes:
    """The document that was packed. Raises ZstdError where it is not whole."""
    if not kept.startswith(_FRAME):
        return kept
    # It is one frame; `zstd.decompress` looks for more, which takes a third as long again.
    decompressor = zstd.ZstdDecompressor(zstd_dict=_MODEL)
    document = decompressor.decompress(kept)
    if not decompressor.eof:
        raise zstd.ZstdError("a kept document is not whole")
    return document
