"""Who a transaction is: natural ids made only of facts on the receipt, and the key made of the first.

Owns the normal form of every id and the order of precedence, as published in `docs/identity.md`.
Never looks at a device, a clock or a configuration, so every machine computes the same key.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from datetime import datetime
from urllib.parse import quote

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from loyalty.receipt import Fiscal, Problem, Receipt

# Published: uuid5(NAMESPACE_URL, "tillside:receipt"). It never changes.
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "tillside:receipt")
_NAMESPACE_BYTES = NAMESPACE.bytes

JIR_DIGITS = 32
# What percent-encoding leaves as it is, which most numbers are made of.
_UNRESERVED = re.compile(r"[A-Za-z0-9_.~-]+").fullmatch


def _compact(text: str) -> str:
    return "".join(text.split()).upper()


def _segment(text: str) -> str:
    """One path segment of a `pos:` id: trimmed, single spaces, percent-encoded so `/` cannot split it."""
    if _UNRESERVED(text) is not None:
        return text
    return quote(" ".join(text.split()), safe=" ").replace(" ", "+")


def rs_purs(pfr_number: str) -> str:
    """`rs-purs:` id of a Serbian PFR number such as `746DUV64-746DUV64-16898`."""
    return f"rs-purs:{_compact(pfr_number)}"


def _hexadecimal(text: str) -> str:
    return _compact(text).lower().replace("-", "")


def hr_fisk(zki: str) -> str:
    """`hr-fisk:` id of a Croatian ZKI (32 hexadecimal digits)."""
    return f"hr-fisk:{_hexadecimal(zki)}"


def hr_jir(jir: str) -> str:
    """`hr-jir:` id of a Croatian JIR (a UUID, with its hyphens or without), which stands beside the ZKI's."""
    digits = _hexadecimal(jir)
    if len(digits) != JIR_DIGITS:
        return f"hr-jir:{_compact(jir).lower()}"
    return f"hr-jir:{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def si_furs(zoi: str) -> str:
    """`si-furs:` id of a Slovenian ZOI (32 hexadecimal digits)."""
    return f"si-furs:{_hexadecimal(zoi)}"


def pos_id(store: str, register: str, business_day: str, number: str) -> str:
    """`pos:` id of a receipt that has no fiscal number."""
    return "pos:" + "/".join(_segment(part) for part in (store, register, business_day, number))


def bytes_id(job: bytes) -> str:
    """`bytes:` id of a printed job that carries none of the others; weak, since a reprint differs."""
    return f"bytes:{hashlib.sha256(job).hexdigest()}"


def key_of(natural_id: str) -> str:
    """The key (UUIDv5 text) of a natural id."""
    # As uuid.uuid5 does it, without an object for each.
    digits = hashlib.sha1(_NAMESPACE_BYTES + natural_id.encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digits[16], 16) % 4]
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


_PRECEDENCE = ("rs-purs:", "hr-fisk:", "si-furs:", "hr-jir:", "pos:")
_FISCAL_ID = {"rs-purs": rs_purs, "hr-fisk": hr_fisk, "si-furs": si_furs}


def fiscal_number(fiscal: Fiscal) -> str | None:
    """The fiscal number in its scheme's normal form, which is what stands after the colon of its id."""
    if not fiscal.number:
        return None
    return _FISCAL_ID[fiscal.scheme](fiscal.number).removeprefix(f"{fiscal.scheme}:")


def fiscal_ids(number: str) -> tuple[str, ...]:
    """The natural ids that `number` may be, where nobody says of which scheme it is."""
    return tuple(made(number) for made in (*_FISCAL_ID.values(), hr_jir)) if number.strip() else ()


def natural_ids(receipt: Receipt) -> tuple[str, ...]:
    """Every natural id that the receipt's own facts and its `also` give, most authoritative first.

    Of two of one kind, the own facts' comes first: a sale that was parked under another number has its own key.
    """
    own = set()
    if receipt.fiscal and (number := fiscal_number(receipt.fiscal)):
        own.add(f"{receipt.fiscal.scheme}:{number}")
    if receipt.store and receipt.register and receipt.business_day and receipt.number:
        own.add(pos_id(receipt.store, receipt.register, receipt.business_day.isoformat(), receipt.number))

    ids = own.union(receipt.also)
    if len(ids) < 2:
        return tuple(ids)

    def rank(natural_id: str) -> tuple[int, bool, str]:
        for index, prefix in enumerate(_PRECEDENCE):
            if natural_id.startswith(prefix):
                return index, natural_id not in own, natural_id
        return len(_PRECEDENCE), natural_id not in own, natural_id

    return tuple(sorted(ids, key=rank))


def identified(receipt: Receipt, job: bytes) -> Receipt:
    """`receipt` with `key` and `also` set; without any natural id, a weak one from the `job` bytes."""
    ids = natural_ids(receipt)
    if ids:
        return replace(receipt, key=key_of(ids[0]), also=ids[1:])
    weak = Problem(code="weak_identity", detail="nothing on the receipt names it; the job's bytes do")
    return replace(receipt, key=key_of(bytes_id(job)), also=(), problems=(*receipt.problems, weak))


def identity_keys(receipt: Receipt) -> tuple[str, ...]:
    """Keys under which this receipt may already be known: its own first, then one for each `also`."""
    return tuple(dict.fromkeys((receipt.key, *(key_of(natural_id) for natural_id in receipt.also))))


def minute_of(moment: datetime) -> datetime:
    """The minute of a moment, which is all that most receipts print."""
    return moment.replace(second=0, microsecond=0)


def _minute(moment: datetime | UnsetType) -> datetime | None:
    return minute_of(moment) if moment is not UNSET else None


def same_content(known: Receipt, seen: Receipt) -> bool:
    """Whether two sightings of one identity say the same: kind, currency, total and minute.

    A sighting without a time (some QR codes) is compared on the rest.
    """
    if (known.kind, known.currency, known.total_minor) != (seen.kind, seen.currency, seen.total_minor):
        return False
    first, second = _minute(known.issued_at), _minute(seen.issued_at)
    return first is None or second is None or first == second
