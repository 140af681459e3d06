"""The token with which a POS posts receipts: the same until somebody renews it, over every restart.

Owns its form, and that it is a secret as the register's others are. Never opens anything but the way in for receipts
(`agent.access` decides).
"""

from __future__ import annotations

from base64 import urlsafe_b64encode

import structlog

from sync.keys import KeyKeeper, SecretError

POS_KEY = "pos-key"
POS_KEY_BYTES = 32

log = structlog.get_logger(__name__)


def pos_token(keeper: KeyKeeper) -> str:
    """The token, made the first time. Raises SecretError and OSError."""
    return _written(keeper.get_or_create(POS_KEY, POS_KEY_BYTES))


def renewed_pos_token(keeper: KeyKeeper) -> str:
    """Another one: from now on the one before opens nothing. Raises SecretError and OSError."""
    return _written(keeper.renew(POS_KEY, POS_KEY_BYTES))


def token_in_force(keeper: KeyKeeper) -> str | None:
    """The token as it is now; None where nobody asked for one, or it cannot be read."""
    try:
        secret = keeper.find(POS_KEY, POS_KEY_BYTES)
    except (SecretError, OSError) as error:
        log.error("pos_token_unreadable", reason=str(error))
        return None
    return _written(secret) if secret is not None else None


def _written(secret: bytes) -> str:
    return urlsafe_b64encode(secret).decode().rstrip("=")
