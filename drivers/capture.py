"""The capture file: what a device said, read by read, with its times; to be looked at, replayed and tested with.

Owns the format, which is the same for every kind of device. Pure: bytes and values. Never opens a device or a
file, and never masks: what goes in must have passed `drivers.capture_masking`.

A capture is JSON Lines in UTF-8. The first line is the header, each other line one read:

    {"tillside_capture":1,"kind":"scanner","driver":"serial","options":{"baud":9600},"started_at":"2026-11-22T…"}
    {"ms":0,"text":"]C0TS0001\\r"}      bytes that are ASCII
    {"ms":412,"hex":"c48d0d"}           bytes that are not
    {"ms":900,"key":[30,1]}             key 30 (of Linux's input-event-codes.h) went down; 0 is up, 2 is held
    {"ms":905,"caps":true}              the host switched the CapsLock light
    {"ms":990,"lost":[42]}              the operating system dropped events; these keys are down now

`ms` counts from `started_at` on and never falls. A last line that was torn, as by a power cut, is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from loyalty.receipt import AwareDatetime
from loyalty.undecodable import UNDECODABLE

VERSION = 1
# A day of a busy till's scans is a megabyte; a day of its receipts a few tens.
MAX_CAPTURE_BYTES = 64 * 1024 * 1024
# A transport gives at most 64 KiB at once, which hexadecimal doubles.
MAX_READ_BYTES = 64 * 1024
MAX_LINE_BYTES = 256 * 1024
MAX_READS = 1_000_000
MAX_MS = 31 * 24 * 3600 * 1000
MAX_OPTIONS = 64

Kind = Literal["scanner", "relay"]
Option = str | int | float | bool

_SECRET = re.compile(r"pass|secret|token|pin$|key$|credential", re.IGNORECASE)
_USER_IN_ADDRESS = re.compile(r"(?<=://)[^/@\s]*@")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})*")


class CaptureError(ValueError):
    """A file is no capture, or one that cannot be used. The message names the line."""


class Header(Struct, frozen=True, kw_only=True):
    """What was captured, by which driver with which options (none that is a secret), and since when."""

    tillside_capture: int = VERSION
    kind: Kind
    driver: str
    options: dict[str, Option] = {}
    started_at: AwareDatetime


class BytesRead(Struct, frozen=True, kw_only=True):
    """Bytes that arrived together."""

    ms: int
    data: bytes


class KeyRead(Struct, frozen=True, kw_only=True):
    """Key `code` went up (0), down (1), or is held (2)."""

    ms: int
    code: int
    value: int


class CapsRead(Struct, frozen=True, kw_only=True):
    """The host switched the CapsLock light of the keyboard device."""

    ms: int
    on: bool


class LostRead(Struct, frozen=True, kw_only=True):
    """Events were lost before this; `held` are the keys that are down now."""

    ms: int
    held: tuple[int, ...]


Read = BytesRead | KeyRead | CapsRead | LostRead


class Capture(Struct, frozen=True, kw_only=True):
    """A whole capture. `torn` says that its last line was incomplete and left out."""

    header: Header
    reads: tuple[Read, ...]
    torn: bool = False

    @property
    def has_keys(self) -> bool:
        """Whether it is of a keyboard device, not of one that sends bytes."""
        return any(not isinstance(read, BytesRead) for read in self.reads)

    @property
    def data(self) -> bytes:
        """All bytes, one after the other."""
        return b"".join(read.data for read in self.reads if isinstance(read, BytesRead))


class _Line(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One read as it stands in the file."""

    ms: int
    hex: str | UnsetType = UNSET
    text: str | UnsetType = UNSET
    key: tuple[int, int] | UnsetType = UNSET
    caps: bool | UnsetType = UNSET
    lost: tuple[int, ...] | UnsetType = UNSET


def harmless_options(options: Mapping[str, Option]) -> dict[str, Option]:
    """`options` as they may stand in a header: none that could be a secret, no user in an address."""
    return {
        key: _USER_IN_ADDRESS.sub("", value) if isinstance(value, str) else value
        for key, value in list(options.items())[:MAX_OPTIONS]
        if not _SECRET.search(key)
    }


def header_line(header: Header) -> bytes:
    return msgspec.json.encode(header) + b"\n"


def read_line(read: Read) -> bytes:
    """One read as a line. Raises CaptureError beyond MAX_READ_BYTES."""
    return msgspec.json.encode(_written(read)) + b"\n"


def encode_capture(capture: Capture) -> bytes:
    """The whole file."""
    return header_line(capture.header) + b"".join(map(read_line, capture.reads))


def is_capture(start: bytes) -> bool:
    """Whether a file that starts like this is meant to be a capture, of whatever version."""
    line = start.lstrip(b"\xef\xbb\xbf").partition(b"\n")[0]
    return line.lstrip().startswith(b"{") and b'"tillside_capture"' in line[:MAX_LINE_BYTES]


def decode_capture(document: bytes) -> Capture:
    """The capture that a file holds. Raises CaptureError."""
    if len(document) > MAX_CAPTURE_BYTES:
        raise CaptureError(f"larger than {MAX_CAPTURE_BYTES} bytes: capture for a shorter time")
    lines = document.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    last = lines.pop()  # empty where the file ends as it should
    if not lines:
        lines, last = [last], b""
    header = _header(lines[0])
    reads, torn = list(_reads(lines[1:])), False
    if last.strip():
        try:
            reads += _reads([last], first=len(lines) + 1, after=reads[-1].ms if reads else 0)
        except CaptureError:
            torn = True
    return Capture(header=header, reads=tuple(reads), torn=torn)


def _header(line: bytes) -> Header:
    try:
        version = msgspec.json.decode(line, type=dict[str, object]).get("tillside_capture")
    except UNDECODABLE as error:
        raise CaptureError("line 1: no capture: its header is not JSON") from error
    if version is None:
        raise CaptureError('line 1: no capture: the first line lacks "tillside_capture"')
    if version != VERSION:
        raise CaptureError(f"line 1: a capture of version {version}; this program reads version {VERSION}")
    try:
        return msgspec.json.decode(line, type=Header)
    except msgspec.ValidationError as error:
        raise CaptureError(f"line 1: {_plain(error)}") from error


def _reads(lines: Iterable[bytes], *, first: int = 2, after: int = 0) -> Iterable[Read]:
    for number, line in enumerate(lines, start=first):
        if number > MAX_READS + 1:
            raise CaptureError(f"line {number}: more than {MAX_READS} reads: capture for a shorter time")
        if not line.strip():
            continue
        try:
            read = _read(line)
        except (*UNDECODABLE, CaptureError) as error:
            raise CaptureError(f"line {number}: {_plain(error)}") from error
        if not after <= read.ms <= MAX_MS:
            raise CaptureError(f"line {number}: ms {read.ms} is before the line above it, or beyond {MAX_MS}")
        after = read.ms
        yield read


def _read(line: bytes) -> Read:
    if len(line) > MAX_LINE_BYTES:
        raise CaptureError(f"longer than {MAX_LINE_BYTES} bytes")
    written = msgspec.json.decode(line, type=_Line)
    said = [name for name in ("hex", "text", "key", "caps", "lost") if getattr(written, name) is not UNSET]
    if len(said) != 1:
        raise CaptureError("needs one of hex, text, key, caps and lost")
    ms = written.ms
    if written.key is not UNSET:
        code, value = written.key
        if code < 0 or value not in (0, 1, 2):
            raise CaptureError("key is [code, 0 for up, 1 for down or 2 for held]")
        return KeyRead(ms=ms, code=code, value=value)
    if written.caps is not UNSET:
        return CapsRead(ms=ms, on=written.caps)
    if written.lost is not UNSET:
        return LostRead(ms=ms, held=written.lost)
    return BytesRead(ms=ms, data=_bytes_of(written))


def _bytes_of(written: _Line) -> bytes:
    if written.text is not UNSET:
        data = written.text.encode()
    else:
        if not _HEX.fullmatch(written.hex or ""):
            raise CaptureError("hex is not two digits for each byte")
        data = bytes.fromhex(written.hex or "")
    if len(data) > MAX_READ_BYTES:
        raise CaptureError(f"a read of more than {MAX_READ_BYTES} bytes")
    return data


def _written(read: Read) -> _Line:
    if isinstance(read, KeyRead):
        return _Line(ms=read.ms, key=(read.code, read.value))
    if isinstance(read, CapsRead):
        return _Line(ms=read.ms, caps=read.on)
    if isinstance(read, LostRead):
        return _Line(ms=read.ms, lost=read.held)
    if len(read.data) > MAX_READ_BYTES:
        raise CaptureError(f"a read of more than {MAX_READ_BYTES} bytes")
    if read.data.isascii():
        return _Line(ms=read.ms, text=read.data.decode("ascii"))
    return _Line(ms=read.ms, hex=read.data.hex())


def _plain(error: Exception) -> str:
    text = str(error).replace("`", "")
    return text[:1].lower() + text[1:]
