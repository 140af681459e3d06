"""Where every Star command begins and ends. Standard library only: the relay runs it.

Owns the lengths of commands, and which of them cut the paper or open the drawer, for which it follows the printer
into raster mode and out of it. Never interprets text, never raises on any bytes, and holds a bounded amount however
long a payload says it is.

Source: Star Micronics' public command specifications, Line Mode (line thermal, hybrid and dot printers) and Graphic
Mode, and of StarPRNT what it shares with them. Clauses in comments are those of the Line Mode specification for line
thermal printers. The prefixes are those of ESC/POS with other meanings: ESC d cuts, ESC i sizes.
"""

from __future__ import annotations

import re
from typing import Final

from drivers.escpos.framing import MAX_KEPT_BYTES, CommandFramer, Frame, FrameEffect, Measure

# A bar code ends at RS; nothing that a printer could print in bars is as long.
MAX_BARCODE_BYTES: Final = 255
# ESC D and ESC B name at most 16 rising stops; the printer drops what comes beyond them up to NUL.
MAX_TAB_BYTES: Final = 255
# Raster settings are decimal numbers of at most 255 digits.
MAX_DIGITS: Final = 255
# ESC # # W n , d1…d16 LF NUL is the longest of its kind.
MAX_SWITCH_BYTES: Final = 32
# ESC GS s I names one of 64 states of the printer in each of its records.
MAX_AUDIO_RECORDS: Final = 64

_NUL, _LF, _ESC, _GS, _RS = 0x00, 0x0A, 0x1B, 0x1D, 0x1E
_PREFIXES: Final = frozenset((0x10, _ESC, _GS))
# Commands of one byte. FS alone opens the drawer here; it begins no command.
_SINGLE: Final = {
    0x04: "EOT", 0x05: "ENQ", 0x07: "BEL", 0x0B: "VT", 0x0C: "FF", 0x0E: "SO", 0x0F: "SI", 0x12: "DC2", 0x14: "DC4",
    0x17: "ETB", 0x18: "CAN", 0x19: "EM", 0x1A: "SUB", 0x1C: "FS",
}  # fmt: skip
_CODE_NAMES: Final = _SINGLE | {
    0x00: "NUL", 0x03: "ETX", 0x06: "ACK", 0x0A: "LF", 0x10: "DLE", 0x11: "DC1", 0x13: "DC3", 0x16: "SYN",
    _ESC: "ESC", _GS: "GS", _RS: "RS", 0x1F: "US", 0x20: "SP",
}  # fmt: skip

# Letters, line ends, and what the printer passes over (3.2).
_TEXT: Final = re.compile(rb"[^\x04\x05\x07\x0b\x0c\x0e-\x10\x12\x14\x17-\x1d]+").match
# In raster mode b and k are commands, and other letters are passed over.
_NOISE: Final = re.compile(rb"[^bk\x04\x05\x07\x0b\x0c\x0e-\x10\x12\x14\x17-\x1d]+").match
_ROWS: Final = frozenset(b"bk")
_DIGITS: Final = frozenset(b"0123456789")

_KICKS: Final = frozenset(("BEL", "FS", "SUB", "EM"))
# ESC d n: full or partial cut, where the paper stands or after feeding it to the cutter (3.3.11).
_CUTS: Final = frozenset((0, 1, 2, 3, 48, 49, 50, 51))
# What ends a raster document: ESC FF n (3.4), and which setting says how.
_ENDINGS: Final = {0x00: "F", 0x04: "E", 0x19: "e"}
# Settings that end it without a cut. 0 is the printer's own, a cut where it has a cutter; 3 feeds to the tear bar.
_UNCUT_MODES: Final = frozenset((b"1", b"2"))


def _u16(data: bytes, at: int) -> int:
    return data[at] | data[at + 1] << 8


def _u24(data: bytes, at: int) -> int:
    return _u16(data, at) | data[at + 2] << 16


def _counted(count_at: int, times: int = 1) -> Measure:
    """A 16-bit count at `count_at`, then `times` as many bytes."""

    def measure(data: bytes, at: int) -> int | None:
        if len(data) < at + count_at + 2:
            return None
        return count_at + 2 + _u16(data, at + count_at) * times

    return measure


def _by_byte(index: int, lengths: dict[int, int | Measure], otherwise: int | Measure) -> Measure:
    """The byte at `index` says the whole length, or how to measure it."""

    def measure(data: bytes, at: int) -> int | None:
        if len(data) <= at + index:
            return None
        length = lengths.get(data[at + index], otherwise)
        return length if isinstance(length, int) else length(data, at)

    return measure


def _byte_count(count_at: int) -> Measure:
    """A count of one byte at `count_at`, then that many bytes."""

    def measure(data: bytes, at: int) -> int | None:
        return count_at + 1 + data[at + count_at] if len(data) > at + count_at else None

    return measure


def _until(end: int, start: int, most: int) -> Measure:
    """Bytes from `start` up to and with `end`, `most` of them if it does not come."""

    def measure(data: bytes, at: int) -> int | None:
        found = data.find(end, at + start, at + start + most)
        if found >= 0:
            return found + 1 - at
        return start + most if len(data) >= at + start + most else None

    return measure


def _esc_ampersand(data: bytes, at: int) -> int | None:
    # ESC & c1 c2 n d1…d48 draws a letter, ESC & c1 0 n forgets it (3.3.7).
    if len(data) < at + 5:
        return None
    return 53 if data[at + 2] in (1, 49) and data[at + 3] in (1, 49) else 5


def _esc_hash(data: bytes, at: int) -> int | None:
    # Switches, serial number, version: ESC # … LF NUL in printed letters, with at most one count among them.
    for index in range(2, MAX_SWITCH_BYTES):
        if len(data) <= at + index:
            return None
        byte = data[at + index]
        if byte == _LF:
            if len(data) <= at + index + 1:
                return None
            return index + 2 if data[at + index + 1] == _NUL else index
        if not (0x20 <= byte < 0x7F or byte == 0x10):
            return index
    return MAX_SWITCH_BYTES


def _esc_gs_hash(data: bytes, at: int) -> int | None:
    # ESC GS # m N n1 n2 n3 n4 LF NUL
    if len(data) < at + 11:
        return None
    return 11 if data[at + 9 : at + 11] == b"\n\0" else 3


def _esc_gs_s_picture(data: bytes, at: int) -> int | None:
    # ESC GS S m xL xH yL yH n d…: x bytes in each of y rows.
    return 9 + _u16(data, at + 4) * _u16(data, at + 6) if len(data) >= at + 9 else None


def _esc_gs_8(data: bytes, at: int) -> int | None:
    # ESC GS 8 x p1 p2 p3 p4 d…: a 32-bit count.
    return 8 + int.from_bytes(data[at + 4 : at + 8], "little") if len(data) >= at + 8 else None


def _marks(data: bytes, at: int) -> int | None:
    # ESC GS * 0 n1 n2 n3 m…: a decimal count of three digits (3.9).
    if len(data) < at + 7:
        return None
    count = data[at + 4 : at + 7]
    return 7 + int(count) if _DIGITS.issuperset(count) else 4


def _audio_received(data: bytes, at: int) -> int | None:
    # ESC GS s R z n1 n2 n3 d…
    return 8 + _u24(data, at + 5) if len(data) >= at + 8 else None


def _audio_settings(data: bytes, at: int) -> int | None:
    # ESC GS s I z, then records e a n c1 c2 d1 d2 t1 t2 up to FF; z 1 goes alone (3.18).
    if len(data) < at + 5:
        return None
    if data[at + 4] != 0:
        return 5
    for record in range(MAX_AUDIO_RECORDS):
        if len(data) <= at + 5 + record * 9:
            return None
        if data[at + 5 + record * 9] == 0xFF:
            return 6 + record * 9
    return 5 + MAX_AUDIO_RECORDS * 9


def _esc_star(data: bytes, at: int) -> int | None:
    # ESC * r letter, most letters with a decimal number and NUL (3.4).
    if len(data) < at + 3:
        return None
    if data[at + 2] != 0x72:
        return 2
    if len(data) < at + 4:
        return None
    letter = data[at + 3]
    if letter in b"DEFPQTtKYNVesm":
        return _raster_setting(data, at, 5 if letter in b"m" else 4)
    return 3 if letter == _ESC else 4


def _raster_setting(data: bytes, at: int, start: int) -> int | None:
    """Decimal digits from `start` on, and NUL."""
    for index in range(start, start + MAX_DIGITS + 1):
        if len(data) <= at + index:
            return None
        byte = data[at + index]
        if byte == _NUL:
            # ESC * r N n NUL: the next n bytes are passed over.
            passed = data[at + start : at + index][-4:] if data[at + 3] in b"N" else b""
            return index + 1 + int(passed or b"0")
        if byte not in _DIGITS:
            return index
    return start + MAX_DIGITS


def _picture_part(data: bytes, at: int) -> int | None:
    # A part of ESC FS q n [xL xH yL yH d…]n: x·y·8 bytes (3.3.9).
    return 4 + _u16(data, at) * _u16(data, at + 2) * 8 if len(data) >= at + 4 else None


def _typed_part(data: bytes, at: int) -> int | None:
    # A part of ESC GS + m [t nL nH d…]m or of ESC GS y D 2 a [m nL nH d…]a.
    return 3 + _u16(data, at + 1) if len(data) >= at + 3 else None


def _audio_part(data: bytes, at: int) -> int | None:
    # A part of ESC GS s U z n [k1 k2 k3 d…]n.
    return 3 + _u24(data, at) if len(data) >= at + 3 else None


def _raster_row(data: bytes, at: int) -> int | None:
    # b n1 n2 d…, k n1 n2 d…: one row of dots.
    return 3 + _u16(data, at + 1) if len(data) >= at + 3 else None


def _table() -> dict[bytes, int | Measure]:
    """ESC and its code, or ESC, a second prefix and its code → the whole length, or how to measure it."""
    macro: dict[int, int | Measure] = {0x31: 5, 0x32: 5, 0x33: _counted(4), 0x34: _counted(4), 0x35: 5, 0x36: 5}
    page: dict[int, int | Measure] = {2: 5, 50: 5, 3: 12, 51: 12, 4: 6, 52: 6, 5: 6, 53: 6}
    audio: dict[int, int | Measure] = {0x4F: 13, 0x52: _audio_received, 0x49: _audio_settings, 0x54: 7, 0x55: 6}
    table: dict[bytes, int | Measure] = {
        b"\x1b#": _esc_hash,
        b"\x1b&": _esc_ampersand,
        b"\x1b*": _esc_star,
        b"\x1b?": _by_byte(2, {_LF: 4}, 2),
        b"\x1bB": _until(_NUL, 2, MAX_TAB_BYTES),
        b"\x1bC": _by_byte(2, {0: 4}, 3),
        b"\x1bD": _until(_NUL, 2, MAX_TAB_BYTES),
        b"\x1bK": _counted(2),
        b"\x1bL": _counted(2),
        b"\x1bX": _counted(2, 3),
        b"\x1b^": _counted(3, 2),
        b"\x1bb": _until(_RS, 6, MAX_BARCODE_BYTES),
        b"\x1bk": _counted(2, 24),
        b"\x1br": 76,
        b"\x1b\x1d#": _esc_gs_hash,
        b"\x1b\x1d(": _by_byte(3, {0x53: _byte_count(5)}, _counted(4)),
        b"\x1b\x1d)": _counted(4),
        b"\x1b\x1d*": _by_byte(3, {0x30: _marks, 0x31: 10, 0x32: 9}, 4),
        b"\x1b\x1d/": _by_byte(3, macro, 4),
        b"\x1b\x1d8": _esc_gs_8,
        b"\x1b\x1d=": _counted(3),
        b"\x1b\x1dB": _by_byte(3, {0x40: _counted(4)}, 4),
        b"\x1b\x1dP": _by_byte(3, page, 4),
        b"\x1b\x1dS": _esc_gs_s_picture,
        b"\x1b\x1ds": _by_byte(3, audio, 4),
        b"\x1b\x1dx": _by_byte(3, {0x53: _by_byte(4, {0x30: 8}, 6), 0x44: _counted(4)}, 4),
        b"\x1b\x1dy": _by_byte(3, {0x53: 6, 0x44: _by_byte(4, {0x31: _counted(6), 0x32: 6}, 5)}, 4),
    }
    parameters = {
        b"\x1b": {
            0: "@MP:gpqEFO0124567\x0e\x14",
            1: "R/ -_WhadzJjIlQNA3yU%$\x06\x0c\x0f",
            2: "its\x07\x0b\x16",
            4: "+",
        },
        b"\x1b\x1c": {1: "q", 2: "pM"},
        b"\x1b\x1d": {1: "tab+", 2: "ARc4", 3: "\x03\x07g", 4: "\x19\x1ahL"},
        b"\x1b\x1e": {1: "FLdrRaEcCAmTiSB#"},
    }
    for prefix, by_count in parameters.items():
        for count, codes in by_count.items():
            for code in codes:
                table[prefix + code.encode("latin-1")] = len(prefix) + 1 + count
    return table


_COMMANDS: Final = _table()
_GROUPS: Final = frozenset((b"\x1b\x1c", b"\x1b\x1d", b"\x1b\x1e"))
_FIXED: Final = {code: length for code, length in _COMMANDS.items() if isinstance(length, int) and len(code) == 2}
# These repeat a part: the index of the count, and the length of a part.
_REPEATING: Final[dict[str, tuple[int, Measure]]] = {
    "ESC FS q": (3, _picture_part),
    "ESC GS +": (3, _typed_part),
    "ESC GS s U": (5, _audio_part),
    "ESC GS y D 2": (5, _typed_part),
}


def _command_length(data: bytes, at: int) -> int | None:
    """Whole length of the command at `at`, or None while that is not known."""
    if data[at] not in _PREFIXES:
        return 1
    if len(data) < at + 2:
        return None
    code = data[at : at + 2]
    if code in _GROUPS:
        if len(data) < at + 3:
            return None
        code = data[at : at + 3]
    length = _COMMANDS.get(code)
    if length is None:
        # Unknown: the prefix and its code (3.2). A code that is itself ESC begins the next command.
        return len(code) - (code[-1] == _ESC)
    return length if isinstance(length, int) else length(data, at)


# Commands whose function stands behind their code: ESC GS y S, ESC GS P 3.
_LONG_NAMED: Final = frozenset(b"()*/8BPghsxy")
_NAMES: dict[bytes, str] = {}


def _known_name(data: bytes) -> str:
    """The name of a command, remembered by the bytes that make it: five at most."""
    head = data[: _named_bytes(data)]
    name = _NAMES.get(head)
    if name is None:
        # The function of page mode is a digit, or the number it stands for.
        function = head[3:4] if head[:3] == b"\x1b\x1dP" else b""
        last = f"P {function[0]}" if function and function[0] <= 8 else ""
        name = _NAMES[head] = f"ESC GS {last}" if last else " ".join(map(_code_name, head))
    return name


def _named_bytes(data: bytes) -> int:
    """How many bytes of a command make its name."""
    if data[:2] == b"\x1b*":
        return 5 if data[3:4] == b"m" else 4
    if data[:2] not in _GROUPS:
        return 2
    if data[:3] == b"\x1b\x1dy" and data[3:4] == b"D":
        return 5
    return 4 if data[1] == _GS and len(data) > 3 and data[2] in _LONG_NAMED else 3


def _code_name(code: int) -> str:
    return _CODE_NAMES.get(code) or (chr(code) if 0x20 < code < 0x7F else f"0x{code:02x}")


class StarFramer(CommandFramer):
    """Cuts a byte stream into frames, however it is split when fed.

    Text comes out as soon as it is fed, so one run may arrive in several frames; commands come out whole, but for
    ESC FS q, ESC GS +, ESC GS s U and ESC GS y D 2, which repeat a part. In raster mode a row is a frame named `b`
    or `k`, and what the printer passes over between rows is text.
    """

    def __init__(self) -> None:
        super().__init__()
        self._raster = False
        self._has_rows = False  # dots since the last cut
        self._uncut: set[str] = set()  # endings of a raster document that are set not to cut

    def feed(self, data: bytes) -> list[Frame]:
        frames: list[Frame] = []
        if self._payload is not None:
            data = self._collect(data, frames)
        if self._head:
            data = self._head + data
            self._head = b""
        at, size, base = 0, len(data), self._start
        while at < size:
            if not self._parts_left:
                run = (_NOISE if self._raster else _TEXT)(data, at)
                if run is not None:
                    end = run.end()
                    frames.append(Frame("text", "", base + at, base + end, data[at:end]))
                    at = end
                    continue
            length = self._length_at(data, at)
            if length is None or at + length > size:
                self._start = base + at
                self._begin(data[at:], length)
                return frames
            frames.append(self._command(data[at : at + min(length, MAX_KEPT_BYTES)], base + at, base + at + length))
            at += length
        self._start = base + at
        return frames

    def _length_at(self, data: bytes, at: int) -> int | None:
        if self._parts_left:
            return self._part_length(data, at)
        if self._raster and data[at] in _ROWS:
            return _raster_row(data, at)
        return _FIXED.get(data[at : at + 2]) or _command_length(data, at)

    def _named(self, command: bytes) -> tuple[str, FrameEffect]:
        if command[0] != _ESC:
            return self._plainly_named(command)
        name = _known_name(command)
        if name in _REPEATING:
            count_at, part = _REPEATING[name]
            self._expect_parts(command[count_at], part, name)
        elif name == "ESC d":
            return name, "cut" if command[2] in _CUTS else ""
        elif name == "ESC FF":
            return name, self._end_document(_ENDINGS.get(command[2], ""))
        elif name == "ESC @":
            self._raster = False
        elif name.startswith("ESC * r") and len(command) > 3:
            return name, self._steer_raster(command)
        return name, ""

    def _plainly_named(self, command: bytes) -> tuple[str, FrameEffect]:
        if command[0] in _ROWS:
            self._has_rows = True
            return chr(command[0]), ""
        name = _SINGLE.get(command[0])
        if name is None:
            return " ".join(map(_code_name, command)), ""
        return name, "kick" if name in _KICKS else ""

    def _steer_raster(self, command: bytes) -> FrameEffect:
        """Follow ESC * r into raster mode, through its settings, and out of it."""
        letter = chr(command[3])
        if letter == "R" or (letter in "Aa" and not self._raster):
            self._uncut.clear()
            self._has_rows = False
        if letter in "Aa":
            self._raster = True
        elif letter == "C":
            self._has_rows = False
        elif letter in "FEe":
            (self._uncut.add if command[4:].rstrip(b"\0") in _UNCUT_MODES else self._uncut.discard)(letter)
        elif letter == "D":
            return "kick" if command[4:].strip(b"0\0") else ""
        elif letter == "b":
            return self._end_document("e")
        elif letter == "B":
            effect = self._end_document("E")
            self._raster = self._has_rows = False
            return effect
        return ""

    def _end_document(self, setting: str) -> FrameEffect:
        """What is in the raster buffer is printed, and cut off unless the `setting` says otherwise."""
        if not (self._raster and self._has_rows and setting) or setting in self._uncut:
            return ""
        self._has_rows = False
        return "cut"
