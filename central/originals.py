"""Which sale a return gives back, as far as receipts are here; and the returns that wait for theirs.

Owns the look-up of `loyalty.originals` in the database. Never evaluates anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import msgspec
from msgspec import UNSET
from sqlalchemy import Connection, insert, select, update

from central.db import tables
from central.stored import StoredReceipt, stored_receipt
from loyalty import originals
from loyalty.identity import identity_keys, minute_of
from loyalty.receipt import Receipt

# As wide as the column that holds them.
MAX_NAME_CHARS = 255
# Sales with one printed number that a return is compared with; beyond that many it names none of them.
MAX_CANDIDATES = 1000


def original_of(connection: Connection, stored: StoredReceipt) -> str | None:
    """The sale that was found before, if it still counts; else the one that fits what the return says of it."""
    return _still_final(connection, stored.original) or _find_original(connection, stored)


def found(connection: Connection, key: str, original: str) -> None:
    """A return waits no more."""
    connection.execute(tables.waits.delete().where(tables.waits.c.receipt == key))
    connection.execute(update(tables.receipts).where(tables.receipts.c.key == key).values(original=original))


def wait(connection: Connection, stored: StoredReceipt) -> None:
    """Let a return be found by the sale that it names."""
    names = awaited_names(stored.receipt) if stored.receipt.original is not UNSET else ()
    waits = tables.waits
    held = set(connection.execute(select(waits.c.what).where(waits.c.receipt == stored.key)).scalars())
    new = [name for name in names if name not in held]
    if new:
        connection.execute(insert(waits), [{"receipt": stored.key, "what": name} for name in new])
    connection.execute(update(tables.receipts).where(tables.receipts.c.key == stored.key).values(original=None))


def waiting_for(connection: Connection, receipt: Receipt) -> list[str]:
    """Keys of the returns whose original this may be."""
    waits = tables.waits.c
    query = select(waits.receipt).where(waits.what.in_(names_of(receipt))).distinct().order_by(waits.receipt)
    return list(connection.execute(query).scalars())


def returns_of(connection: Connection, sale: str) -> list[str]:
    """Keys of the returns that were found to give this sale back."""
    columns = tables.receipts.c
    return list(connection.execute(select(columns.key).where(columns.original == sale).order_by(columns.key)).scalars())


def _still_final(connection: Connection, original: str | None) -> str | None:
    """The original that was found before; none where there was none, or it was voided since."""
    columns = tables.receipts.c
    found: str | None = connection.execute(
        select(columns.key).where(columns.key == original, columns.status == "final")
    ).scalar_one_or_none()
    return found


def _find_original(connection: Connection, stored: StoredReceipt) -> str | None:
    """The one sale that fits what the return says of it; none where two do."""
    of_return = stored.receipt
    candidates = _known_under(connection, originals.original_keys(of_return))
    number = originals.original_number(of_return)
    if number is not None:
        numbered = _numbered(connection, of_return, number)
        if len(numbered) > MAX_CANDIDATES:
            return None
        candidates += numbered
    original = originals.original_among(of_return, candidates)
    return original.key if original is not None else None


def _known_under(connection: Connection, keys: Sequence[str]) -> list[Receipt]:
    columns = tables.receipt_keys.c
    known = connection.execute(select(columns.receipt).where(columns.key.in_(keys)).distinct()).scalars()
    return [stored_receipt(connection, key).receipt for key in known.all()]


def _numbered(connection: Connection, of_return: Receipt, number: str) -> list[Receipt]:
    """Sales with this printed number, narrowed by what the database can compare; one more than the limit at most."""
    columns = tables.receipts.c
    query = select(columns.body).where(
        columns.number == number,
        columns.kind != "return",
        columns.status == "final",
        columns.currency == of_return.currency,
    )
    original = of_return.original
    if original and original.store:
        query = query.where(columns.store == original.store)
    if original and original.register:
        query = query.where(columns.register == original.register)
    if original and original.issued_at:
        minute = minute_of(original.issued_at)
        query = query.where(columns.issued_at >= minute, columns.issued_at < minute + timedelta(minutes=1))
    bodies = connection.execute(query.limit(MAX_CANDIDATES + 1)).scalars()
    return [msgspec.json.decode(body, type=Receipt) for body in bodies]


def names_of(receipt: Receipt) -> tuple[str, ...]:
    """Everything a return may name this receipt by, as the column of `waits` holds it: its ids are all in `also`."""
    names = list(identity_keys(receipt))
    if receipt.number:
        names.append(originals.number_name(receipt.number)[:MAX_NAME_CHARS])
    return tuple(names)


def awaited_names(receipt: Receipt) -> tuple[str, ...]:
    """Everything the original of this return may come under, as the column of `waits` holds it."""
    return tuple(dict.fromkeys(name[:MAX_NAME_CHARS] for name in originals.awaited_names(receipt)))
