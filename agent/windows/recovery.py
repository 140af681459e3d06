"""What Windows does when the service fails: `python -m agent.windows.recovery`, run once by the installer.

Owns the settings of the service that an MSI cannot carry: the table for them is refused by Windows for restarts. Never
touches another service.
"""

from __future__ import annotations

import ctypes
import sys
from ctypes import POINTER, Structure, byref, c_int, c_void_p, c_wchar_p
from typing import Any, Final

from agent.windows.life import SERVICE_NAME

# Restarts after these, in milliseconds, the last for every further failure; a day without one, and it begins anew.
RESTARTS_MS: Final = (1_000, 5_000, 60_000)
RESET_S: Final = 86_400
# SERVICE_CONFIG_FAILURE_ACTIONS, _FAILURE_ACTIONS_FLAG and _SERVICE_SID_INFO; SC_ACTION_RESTART;
# SERVICE_SID_TYPE_UNRESTRICTED.
_ACTIONS, _FLAG, _SID = 2, 4, 5
_RESTART: Final = 1
_UNRESTRICTED: Final = 1
# SC_MANAGER_CONNECT; SERVICE_CHANGE_CONFIG and SERVICE_START, which setting restarts asks for.
_CONNECT: Final = 0x1
_CHANGE: Final = 0x2 | 0x10
# ERROR_INVALID_LEVEL: this system has no such setting.
_NO_SUCH_SETTING: Final = 124
_DWORD = ctypes.c_uint32


class _Action(Structure):
    """SC_ACTION."""

    _fields_ = (("Type", c_int), ("Delay", _DWORD))


class _FailureActions(Structure):
    """SERVICE_FAILURE_ACTIONSW."""

    _fields_ = (
        ("dwResetPeriod", _DWORD),
        ("lpRebootMsg", c_wchar_p),
        ("lpCommand", c_wchar_p),
        ("cActions", _DWORD),
        ("lpsaActions", POINTER(_Action)),
    )


def main() -> int:
    """Exit codes: 0 it is set, or this system has no such setting, which is said; 1 it was refused."""
    advapi: Any = getattr(ctypes, "WinDLL")("advapi32", use_last_error=True)  # noqa: B009 - absent where mypy looks
    last_error: Any = getattr(ctypes, "get_last_error")  # noqa: B009
    advapi.OpenSCManagerW.restype = advapi.OpenServiceW.restype = c_void_p
    advapi.OpenServiceW.argtypes = (c_void_p, c_wchar_p, _DWORD)
    advapi.ChangeServiceConfig2W.argtypes = (c_void_p, _DWORD, c_void_p)
    # Windows closes what a process leaves open, and this one ends here.
    service = advapi.OpenServiceW(advapi.OpenSCManagerW(None, None, _CONNECT), SERVICE_NAME, _CHANGE)
    if not service:
        sys.stderr.write(
            f"service {SERVICE_NAME}: cannot be changed (error {last_error()}); run this as an administrator\n"
        )
        return 1
    actions = (_Action * len(RESTARTS_MS))(*(_Action(_RESTART, delay) for delay in RESTARTS_MS))
    failing = _FailureActions(RESET_S, None, None, len(actions), actions)
    # Ending with an error is a failure too, not crashing alone. Its own SID is what the data folder lets in.
    settings: tuple[tuple[str, int, Any], ...] = (
        ("restarts", _ACTIONS, failing),
        ("restarts after an error", _FLAG, c_int(1)),
        ("an SID of its own", _SID, _DWORD(_UNRESTRICTED)),
    )
    for what, level, value in settings:
        if advapi.ChangeServiceConfig2W(service, level, byref(value)):
            continue
        error = last_error()
        if error != _NO_SUCH_SETTING:
            sys.stderr.write(f"service {SERVICE_NAME}: {what} cannot be set (error {error})\n")
            return 1
        sys.stderr.write(f"service {SERVICE_NAME}: this system cannot set {what}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
