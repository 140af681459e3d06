"""Whether the time of a receipt can be: a register's clock may be years off.

Owns that judgement, by the centre's own clock. A receipt that is held for it counts when a person said that its time is
right, or which it is (`central.review`).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from loyalty.receipt import Receipt

# Clocks of shops are minutes off, and a zone that is set wrong makes it hours: a day more is none of these.
AHEAD = timedelta(days=1)
# A clock without a battery begins at 1970, 2000 or when its firmware was made; papers are read again for some years.
OLDEST = timedelta(days=3653)
# What a register caught before it was enrolled is little: its clock was behind.
BEFORE_ENROLMENT = timedelta(days=366)


def implausible(receipt: Receipt, *, received_at: datetime, enrolled_at: datetime | None) -> str | None:
    """Why the time of a receipt cannot be trusted for caps, expiry and order; None where it may.

    One that was issued long before it was caught is an old paper; one that was caught long before its register was
    enrolled shows a clock that is behind, and says nothing of when it was issued.
    """
    issued, captured = receipt.issued_at or None, receipt.captured_at or None
    for name, moment in (("issued", issued), ("captured", captured)):
        if moment is not None and moment > received_at + AHEAD:
            return f"{name} at {moment.isoformat(timespec='minutes')}, which is still to come"
    if issued is not None and issued < received_at - OLDEST:
        return f"issued at {issued.isoformat(timespec='minutes')}, more than ten years before it came"
    if captured is None or enrolled_at is None or captured >= enrolled_at - BEFORE_ENROLMENT:
        return None
    if issued is None or issued <= captured + AHEAD:
        return f"captured at {captured.isoformat(timespec='minutes')}, long before its register was enrolled"
    return None
