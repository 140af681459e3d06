"""What can go wrong with the store, each with its remedy."""

from __future__ import annotations


class StoreError(Exception):
    """The store cannot do what was asked. The message says what to do."""


class SqliteUnsafeError(StoreError):
    """The linked SQLite can lose commits (the WAL-reset bug of 3.7.0 to 3.51.2)."""


class StoreInUseError(StoreError):
    """Another process has this store open."""


class StoreTooNewError(StoreError):
    """A newer version of the program made this store; it was left untouched."""


class StoreKeyError(StoreError):
    """The key at hand does not open this store; it was left untouched."""


class StoreCorruptError(StoreError):
    """The file is damaged, and whoever asked was not to put it right; it was left untouched."""


class StoreUnavailableError(StoreError):
    """The disk did not take a write (full, failing, read-only). Nothing of it was kept; later writes work again."""


class StoreFullError(StoreUnavailableError):
    """The disk is full: what is left of it is for draining. New sales are taken again once there is room."""


class StoreBusyError(StoreError):
    """More writes wait than the store queues."""


class StoreClosedError(StoreError):
    """The store was closed."""


class AckRefusedError(StoreError):
    """The centre acknowledged what this register did not write; a new epoch must be opened."""


class NoEpochError(StoreError):
    """No epoch was opened yet, so nothing can be sent or acknowledged."""


class UnknownReceiptError(StoreError):
    """No receipt is stored under this key."""


class UnknownEntryError(StoreError):
    """No entry is stored under this number, or it is not in a state that allows this."""


def closed() -> StoreClosedError:
    """What whoever asks a closed store is told."""
    return StoreClosedError("the store is closed; start the register again")


def unavailable(verb: str, error: BaseException) -> StoreUnavailableError:
    """What the operator is told when the disk failed to `verb`."""
    if str(error).startswith(("database disk image is malformed", "file is not a database")):
        remedy = "the file is damaged: restart the register, it keeps the damaged file and goes on with a new one"
    else:
        remedy = "free some space or check the disk: it goes on by itself as soon as the disk works again"
    return StoreUnavailableError(f"the store cannot {verb} ({error}); {remedy}")


class QuarantineFullError(StoreError):
    """Nothing more can be set aside. The message names the limit and the remedy; whoever gave it has to keep it."""
