"""What a look at this register's keys and at its store says, in words for the operator.

Owns which of it is grave and what to do. Reads beside the running agent; makes no key, and repairs nothing.
"""

from __future__ import annotations

from agent.inspection import StatusReport, Verdict
from agent.state import keeper_of, store_path
from config.load import state_folder
from config.settings import Settings
from sync.enrolment import Enrolment, EnrolmentError, load_enrolment
from sync.keys import DEVICE_KEY, DEVICE_KEY_BYTES, STORE_KEY, STORE_KEY_BYTES, SecretError
from sync.store.errors import StoreError
from sync.store.examination import key_is_kept, suspicion_of, write_problem
from sync.store.looking import LOOKED_WITHIN_S, StoreLook, looked_at
from sync.store.recovery import told, whereabouts

Said = tuple[Verdict, str]
KIB = 1024


def keys_said(settings: Settings, status: StatusReport | None) -> Said:
    """Whether the keeper gives this register's keys, which also looks at who else may read them."""
    keeper, path, enrolment = keeper_of(settings), store_path(settings), _enrolment(settings)
    name = enrolment.key if enrolment is not None else DEVICE_KEY
    try:
        store_key = keeper.find(STORE_KEY, STORE_KEY_BYTES)
        device_key = keeper.find(name, DEVICE_KEY_BYTES)
        if store_key is None and status is not None:
            return "healthy", f"the running agent has them ({status.keys}); nobody else is given them"
        key_is_kept(path, keeper)
    except (SecretError, StoreError) as error:
        return "problem", str(error)
    except OSError as error:
        return "problem", _unreadable(settings, error)
    if device_key is None and enrolment is not None:
        said = f"the key {name!r} of this enrolled register is gone ({keeper.where()}): put it back, or enrol anew"
        return "problem", said
    if store_key is None and device_key is None:
        return "healthy", "none yet: the agent and enrolling make them"
    there = [one for one, key in ((STORE_KEY, store_key), (name, device_key)) if key is not None]
    return "healthy", f"{' and '.join(there)} can be read ({keeper.where()})"


def store_said(settings: Settings, within_s: float = LOOKED_WITHIN_S) -> Said | None:
    """None where there is no store yet, or where its key is not for us: that is told of the keys."""
    path = store_path(settings)
    try:
        key = keeper_of(settings).find(STORE_KEY, STORE_KEY_BYTES) if path.exists() else None
        if key is None or not path.stat().st_size:
            return None
        if (closed := write_problem(path)) is not None:
            return "problem", closed
        look = looked_at(path, key, within_s=within_s)
    except SecretError:
        return None
    except StoreError as error:
        return "problem", str(error)
    except OSError as error:
        return "problem", _unreadable(settings, error)
    if look.fault:
        said = (
            f"{path} is damaged ({look.fault}): make an empty file {suspicion_of(path)} and start the agent again; it "
            "keeps the damaged one aside and brings back what is whole of it"
        )
        return "problem", said
    return "healthy", f"{path} opens with its key, {_described(look, within_s)}"


def _described(look: StoreLook, within_s: float) -> str:
    how_far = f"all {look.tables} tables are whole"
    if look.read < look.tables:
        read = f"{look.read} of {look.tables} tables were read within {within_s:g} s and are whole"
        how_far = f"{read}, the others were not read"
    sizes = f"{look.file_bytes // KIB} KiB and a log of {look.log_bytes // KIB} KiB"
    said = f"version {look.version} of {look.known}; {how_far}; {sizes}"
    if look.recovered is None:
        return said
    return f"{said}; a damaged one before it is {whereabouts(look.recovered)}: {told(look.recovered.salvaged)}"


def _enrolment(settings: Settings) -> Enrolment | None:
    try:
        return load_enrolment(state_folder(settings))
    except EnrolmentError:
        return None


def _unreadable(settings: Settings, error: OSError) -> str:
    return (
        f"{error.filename or state_folder(settings)} cannot be read ({error.strerror or error}): run the doctor as the "
        "agent's user, or correct its owner"
    )
