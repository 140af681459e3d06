"""Secrets on Windows: files sealed by DPAPI for this machine.

The service's account and an administrator at its prompt both work with them, so it is not one account that seals; who
may read the files is said by their folder, which the installer gives to the service and to administrators alone.

Tried under wine, not yet run on Windows: written from the documentation of CryptProtectData and CryptUnprotectData
(dpapi.h), and `where()` says so. Owns the calls into crypt32; never keeps a secret unsealed on disk.
"""

from __future__ import annotations

import ctypes
import os
import secrets
from ctypes import POINTER, Structure, byref, c_char, c_void_p, c_wchar_p, cast, create_string_buffer
from pathlib import Path
from typing import Any

from sync.keys import SecretError

# CRYPTPROTECT_UI_FORBIDDEN, as a service has nobody to ask, and CRYPTPROTECT_LOCAL_MACHINE.
_FLAGS = 0x1 | 0x4
_DWORD = ctypes.c_uint32


class SecretSealedError(SecretError):
    """DPAPI cannot open or seal a secret: another machine sealed it."""


class _Blob(Structure):
    """DATA_BLOB."""

    _fields_ = (("cbData", _DWORD), ("pbData", POINTER(c_char)))


class DpapiKeyKeeper:
    """Keeps each secret in `folder/NAME.dpapi`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get_or_create(self, name: str, length: int) -> bytes:
        found = self.find(name, length)
        return found if found is not None else self.renew(name, length)

    def renew(self, name: str, length: int) -> bytes:
        self._folder.mkdir(parents=True, exist_ok=True)
        secret = secrets.token_bytes(length)
        beside = self._folder / f".{name}.{secrets.token_hex(8)}"
        with beside.open("xb") as file:
            file.write(_call("CryptProtectData", secret))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path(name))
        return secret

    def find(self, name: str, length: int) -> bytes | None:
        path = self._path(name)
        if not path.exists():
            return None
        secret = _call("CryptUnprotectData", path.read_bytes())
        if len(secret) != length:
            raise SecretSealedError(f"{path} holds {len(secret)} bytes, not {length}; put the original back")
        return secret

    def forget(self, name: str) -> None:
        self._path(name).unlink(missing_ok=True)

    def where(self) -> str:
        return "Windows DPAPI (tried under wine, not yet run on Windows)"

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.dpapi"


def _call(function: str, data: bytes) -> bytes:
    """One of the two functions of crypt32, which share their signature, on `data`."""
    load: Any = getattr(ctypes, "WinDLL")  # noqa: B009 - absent on the platforms mypy sees
    crypt32, kernel32 = load("crypt32", use_last_error=True), load("kernel32")
    entry = crypt32[function]
    entry.argtypes = (POINTER(_Blob), c_wchar_p, POINTER(_Blob), c_void_p, c_void_p, _DWORD, POINTER(_Blob))
    entry.restype = ctypes.c_int
    buffer = create_string_buffer(data, len(data))
    given, made = _Blob(len(data), cast(buffer, POINTER(c_char))), _Blob()
    if not entry(byref(given), None, None, None, None, _FLAGS, byref(made)):
        error: Any = getattr(ctypes, "get_last_error")  # noqa: B009 - likewise
        raise SecretSealedError(
            f"{function} failed with error {error()}; it is of another machine: take its .dpapi files away "
            "and enrol this one anew"
        )
    try:
        return ctypes.string_at(made.pbData, made.cbData)
    finally:
        kernel32.LocalFree.argtypes = (c_void_p,)
        kernel32.LocalFree(cast(made.pbData, c_void_p))
