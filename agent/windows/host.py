"""The service manager and the Event Log of Windows, behind `agent.windows.life`.

Owns the calls into advapi32 (winsvc.h, winbase.h), which exist on Windows alone. Never knows what the service does.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from ctypes import POINTER, Structure, byref, c_int, c_void_p, c_wchar_p
from enum import IntEnum
from typing import Any, Final

from agent.windows.life import Life, Status

_DWORD = ctypes.c_uint32
_WORD = ctypes.c_uint16
# SERVICE_WIN32_OWN_PROCESS.
_OWN_PROCESS: Final = 0x10


class NotStartedByManagerError(Exception):
    """The process was not started by the service manager, or it does not answer. The message says what to do."""


class Kind(IntEnum):
    """How an event is shown: EVENTLOG_ERROR_TYPE and so on."""

    ERROR = 1
    WARNING = 2
    INFORMATION = 4


class _ServiceStatus(Structure):
    """SERVICE_STATUS."""

    _fields_ = (
        ("dwServiceType", _DWORD),
        ("dwCurrentState", _DWORD),
        ("dwControlsAccepted", _DWORD),
        ("dwWin32ExitCode", _DWORD),
        ("dwServiceSpecificExitCode", _DWORD),
        ("dwCheckPoint", _DWORD),
        ("dwWaitHint", _DWORD),
    )


class _TableEntry(Structure):
    """SERVICE_TABLE_ENTRYW."""

    _fields_ = (("lpServiceName", c_wchar_p), ("lpServiceProc", c_void_p))


class Service:
    """One service in a process of its own: told what the manager asks, and telling it how it is."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._life = Life()
        # A control comes on the manager's thread while the agent's own tells of its progress.
        self._lock = threading.Lock()
        self._stop: Callable[[], None] = lambda: None
        self._stopping = False
        self._advapi: Any = _library("advapi32")
        self._handle: int | None = None

    def serve(self, work: Callable[[Service], int]) -> None:
        """Calls `work` once, on a thread that Windows makes, and returns when it ended; its result is the exit code.

        Raises NotStartedByManagerError.
        """
        main = _callback(None, _DWORD, POINTER(c_wchar_p))(lambda _count, _names: self._main(work))
        table = (_TableEntry * 2)(_TableEntry(self._name, ctypes.cast(main, c_void_p)), _TableEntry(None, None))
        if not self._advapi.StartServiceCtrlDispatcherW(byref(table)):
            raise NotStartedByManagerError(
                f"this is started by the service manager alone (error {_last_error()}): "
                f"`sc start {self._name}`, or `tillside run` to see it at work"
            )

    def running(self) -> None:
        """The agent answers."""
        with self._lock:
            self._tell(self._life.running())

    def on_stop(self, stop: Callable[[], None]) -> None:
        """Calls `stop`, from another thread, once the manager asks for it; at once where it did already."""
        with self._lock:
            self._stop = stop
            late = self._stopping
        if late:
            stop()

    def event(self, kind: Kind, number: int, text: str) -> None:
        """Puts `text` into the Event Log under this service's name. A log that takes nothing stops nothing."""
        self._advapi.RegisterEventSourceW.restype = c_void_p
        source = self._advapi.RegisterEventSourceW(None, self._name)
        if not source:
            return
        strings = (c_wchar_p * 1)(text)
        report = self._advapi.ReportEventW
        report.argtypes = (c_void_p, _WORD, _WORD, _DWORD, c_void_p, _WORD, _DWORD, POINTER(c_wchar_p), c_void_p)
        report(source, kind, 0, number, None, 1, 0, strings, None)
        self._advapi.DeregisterEventSource.argtypes = (c_void_p,)
        self._advapi.DeregisterEventSource(source)

    def _main(self, work: Callable[[Service], int]) -> None:
        handler = _callback(_DWORD, _DWORD, _DWORD, c_void_p, c_void_p)(
            lambda control, _kind, _data, _context: self._asked(control)
        )
        register = self._advapi.RegisterServiceCtrlHandlerExW
        register.argtypes, register.restype = (c_wchar_p, c_void_p, c_void_p), c_void_p
        self._handle = register(self._name, ctypes.cast(handler, c_void_p), None)
        self._advapi.SetServiceStatus.argtypes = (c_void_p, POINTER(_ServiceStatus))
        self._advapi.SetServiceStatus.restype = c_int
        with self._lock:
            self._tell(self._life.status)
        code = 1
        try:
            code = work(self)
        finally:
            with self._lock:
                self._tell(self._life.ended(code))

    def _asked(self, control: int) -> int:
        with self._lock:
            answer, stops = self._life.asked(control)
            self._tell(self._life.status)
            stop = self._stop
            self._stopping = self._stopping or stops
        if stops:
            stop()
        return answer

    def _tell(self, status: Status) -> None:
        told = _ServiceStatus(
            _OWN_PROCESS,
            status.state,
            status.accepts,
            status.error,
            status.specific_error,
            status.checkpoint,
            status.wait_ms,
        )
        self._advapi.SetServiceStatus(self._handle, byref(told))


def _library(name: str) -> Any:
    return getattr(ctypes, "WinDLL")(name, use_last_error=True)  # noqa: B009


def _callback(result: object, *arguments: object) -> Any:
    return getattr(ctypes, "WINFUNCTYPE")(result, *arguments)  # noqa: B009


def _last_error() -> int:
    return int(getattr(ctypes, "get_last_error")())  # noqa: B009
