"""Where every ESC/POS command begins and ends. Standard library only: the relay runs it.

Owns the lengths of commands, so that binary payload is never read as commands. Never interprets text,
never raises on any bytes, and holds a bounded amount however long a payload says it is.

Source: the public ESC/POS command lists of printer makers (Epson's notation: pL pH is a 16-bit
little-endian count, m and n single bytes), with the few additions of other makers named where they stand.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

# A frame keeps this much of its bytes and counts the rest. 80 mm paper has 576 dots, 72 bytes a row:
# 1 MiB is 14,563 rows, 1.8 m of paper in one picture.
MAX_KEPT_BYTES: Final = 1024 * 1024
# ESC D names at most 32 tab stops.
MAX_TAB_STOPS: Final = 32
# A bar code in NUL form; the length form can say no more than 255 either.
MAX_NUL_BARCODE_BYTES: Final = 255
# GS C ; … is five decimal numbers of at most five digits with six semicolons.
MAX_COUNTER_TEXT_BYTES: Final = 40

FrameKind = Literal["text", "command", "torn"]
FrameEffect = Literal["", "cut", "kick"]

_NUL, _EOT, _ENQ, _FF, _DLE, _DC4, _CAN = 0x00, 0x04, 0x05, 0x0C, 0x10, 0x14, 0x18
_ESC, _FS, _GS, _US = 0x1B, 0x1C, 0x1D, 0x1F
_PREFIXES: Final = frozenset((_DLE, _ESC, _FS, _GS, _US))
_PREFIX_NAMES: Final = {_DLE: "DLE", _ESC: "ESC", _FS: "FS", _GS: "GS", _US: "US"}
_CODE_NAMES: Final = {_NUL: "NUL", _EOT: "EOT", _ENQ: "ENQ", 0x0A: "LF", _FF: "FF", 0x0D: "CR", _DC4: "DC4", 0x20: "SP"}

# Everything a printer takes as letters, line ends or noise up to the next command.
_LETTERS: Final = rb"[^\x0c\x10\x18\x1b\x1c\x1d\x1f]"
# Commands that only say how, in which code page or where on its line text is printed: ESC SP ! - 2 3 E G M a r t $ \
# and GS ! B. A till sends several with every line.
_STYLING: Final = rb"\x1b(?:[ !\-3EGMart][\s\S]|2|[$\\][\s\S]{2})|\x1d[!B][\s\S]"
_STYLING_HEADS: Final = frozenset((*(b"\x1b" + bytes((code,)) for code in b" !-23EGMart$\\"), b"\x1d!", b"\x1dB"))
# The head of the one that selects a code page.
SELECTS_PAGE: Final = b"\x1bt"
_TEXT: Final = re.compile(_LETTERS + rb"+").match
_STYLED_TEXT: Final = re.compile(rb"(?:" + _LETTERS + rb"++|" + _STYLING + rb")++").match
# Each alternative begins with a literal byte: the search then skips letters at the speed of C.
_MARKS: Final = re.compile(rb"(\n|\r\n|\r|\t|" + _STYLING + rb")")
_STYLES: Final = re.compile(rb"(" + _STYLING + rb")")
_LINE: Final = re.compile(rb"(?:[^\n\x1b\x1d]++|" + _STYLING + rb")*+\n?").match
_BLANK: Final = re.compile(rb"(?:[ \t\r\n\0]++|" + _STYLING + rb")*+").match

# GS V: plain, feed and cut, cut at a set position, feed, cut and return.
_PLAIN_CUTS: Final = frozenset((0, 1, 48, 49))
_FEED_CUTS: Final = frozenset((65, 66, 97, 98, 103, 104))


class Frame(NamedTuple):
    """A text run, a whole command, or the torn rest of a stream. (A tuple: the relay makes a million a minute.)

    `start` and `end` are offsets in everything fed so far. `data` is the frame's own bytes, command
    included, of which MAX_KEPT_BYTES are kept. `name` is "" for text and torn, else like `GS V` or `GS ( k`.
    `effect` is the framer's word, since one command cuts in one printer language and feeds in another.
    """

    kind: FrameKind
    name: str
    start: int
    end: int
    data: bytes
    effect: FrameEffect = ""

    @property
    def skipped(self) -> int:
        """Bytes of the frame that `data` does not hold."""
        return self.end - self.start - len(self.data)

    @property
    def is_cut(self) -> bool:
        """Whether paper is cut here."""
        return self.effect == "cut"

    @property
    def is_drawer_kick(self) -> bool:
        """Whether the cash drawer is opened."""
        return self.effect == "kick"


# A measure looks at `data` from `at`, where the command begins, and returns the command's whole length,
# or None while too little is there to know. It never looks beyond the end of `data`.
Measure = Callable[[bytes, int], int | None]


def _u16(data: bytes, at: int) -> int:
    return data[at] | data[at + 1] << 8


def _counted(count_at: int) -> Measure:
    """A 16-bit count at `count_at`, then that many bytes."""

    def measure(data: bytes, at: int) -> int | None:
        if len(data) < at + count_at + 2:
            return None
        return count_at + 2 + _u16(data, at + count_at)

    return measure


def _by_byte(index: int, lengths: dict[int, int], otherwise: int) -> Measure:
    """The byte at `index` says the whole length."""

    def measure(data: bytes, at: int) -> int | None:
        return lengths.get(data[at + index], otherwise) if len(data) > at + index else None

    return measure


def _gs_8(data: bytes, at: int) -> int | None:
    # GS 8 x p1 p2 p3 p4 d…: a 32-bit count.
    return 7 + int.from_bytes(data[at + 3 : at + 7], "little") if len(data) >= at + 7 else None


def _esc_star(data: bytes, at: int) -> int | None:
    # ESC * m nL nH d…: n columns of 8 dots, or of 24 from mode 32 on.
    if len(data) < at + 5:
        return None
    return 5 + _u16(data, at + 3) * (3 if data[at + 2] >= 32 else 1)


def _esc_d(data: bytes, at: int) -> int | None:
    # ESC D n1…nk NUL; stops that do not rise, and the 33rd, end it too.
    previous = 0
    for index in range(MAX_TAB_STOPS):
        if len(data) <= at + 2 + index:
            return None
        stop = data[at + 2 + index]
        if stop == _NUL:
            return 3 + index
        if stop <= previous:
            return 2 + index
        previous = stop
    if len(data) <= at + 2 + MAX_TAB_STOPS:
        return None
    return 2 + MAX_TAB_STOPS + (data[at + 2 + MAX_TAB_STOPS] == _NUL)


def _gs_k(data: bytes, at: int) -> int | None:
    if len(data) < at + 3:
        return None
    kind = data[at + 2]
    if kind <= 6:
        return _nul_barcode(data, at)
    if 65 <= kind <= 79:
        return 4 + data[at + 3] if len(data) >= at + 4 else None
    if kind == 97:  # GS k 97 v r nL nH d…: a QR code on small printers of Chinese make
        return 7 + _u16(data, at + 5) if len(data) >= at + 7 else None
    return 3


def _nul_barcode(data: bytes, at: int) -> int | None:
    # A byte that no bar code of this form can hold ends the command, as printers do it.
    for index in range(MAX_NUL_BARCODE_BYTES):
        if len(data) <= at + 3 + index:
            return None
        byte = data[at + 3 + index]
        if byte == _NUL:
            return 4 + index
        if not 0x20 <= byte < 0x7F:
            return 3 + index
    return 3 + MAX_NUL_BARCODE_BYTES


def _gs_v0(data: bytes, at: int) -> int | None:
    # GS v 0 m xL xH yL yH d…: x bytes in each of y rows.
    if len(data) < at + 3:
        return None
    if data[at + 2] not in (0, 48):
        return 3
    return 8 + _u16(data, at + 4) * _u16(data, at + 6) if len(data) >= at + 8 else None


def _gs_q0(data: bytes, at: int) -> int | None:
    # GS Q 0 m xL xH yL yH d…: x columns, y bytes in each.
    if len(data) < at + 3:
        return None
    if data[at + 2] not in (0, 48):
        return 3
    return 8 + _u16(data, at + 4) * _u16(data, at + 6) if len(data) >= at + 8 else None


def _gs_star(data: bytes, at: int) -> int | None:
    # GS * x y d…: a picture of 8x by 8y dots.
    return 4 + data[at + 2] * data[at + 3] * 8 if len(data) >= at + 4 else None


def _gs_c(data: bytes, at: int) -> int | None:
    # GS C 0 m n · GS C 1 aL aH bL bH n r · GS C 2 nL nH · GS C ; sa ; sb ; sn ; sr ; sc ;
    if len(data) < at + 3:
        return None
    form = data[at + 2]
    if form != 0x3B:
        return {0: 5, 48: 5, 1: 9, 49: 9, 2: 5, 50: 5}.get(form, 3)
    semicolons = 1
    for index in range(3, MAX_COUNTER_TEXT_BYTES):
        if len(data) <= at + index:
            return None
        byte = data[at + index]
        semicolons += byte == 0x3B
        if semicolons == 6:
            return index + 1
        if byte != 0x3B and not 0x30 <= byte <= 0x39:
            return index
    return MAX_COUNTER_TEXT_BYTES


def _gs_d(data: bytes, at: int) -> int | None:
    # GS D m fn a kc1 kc2 b c d…: a Windows BMP file, whose own header says how long it is.
    if len(data) < at + 4:
        return None
    if data[at + 3] not in (67, 83):
        return 4
    if len(data) < at + 15:
        return None
    if data[at + 9 : at + 11] != b"BM":
        return 9
    return 9 + max(6, int.from_bytes(data[at + 11 : at + 15], "little"))


def _picture_part(data: bytes, at: int) -> int | None:
    # A part of FS q n [xL xH yL yH d…]n: x·y·8 bytes.
    return 4 + _u16(data, at) * _u16(data, at + 2) * 8 if len(data) >= at + 4 else None


def _letter_part(height: int) -> Measure:
    # A part of ESC & y c1 c2 [x d1…d(y·x)], one for each code from c1 to c2.
    def measure(data: bytes, at: int) -> int | None:
        return 1 + height * data[at] if len(data) > at else None

    return measure


def _fs_g(data: bytes, at: int) -> int | None:
    # FS g 1 m a1…a4 nL nH d… writes to user memory, FS g 2 m a1…a4 nL nH reads it.
    if len(data) < at + 3:
        return None
    if data[at + 2] not in (0x31, 0x32):
        return 3
    if len(data) < at + 10:
        return None
    return 10 + (_u16(data, at + 8) if data[at + 2] == 0x31 else 0)


def _esc_parenthesis(data: bytes, at: int) -> int | None:
    # ESC ( x, FS ( x, GS ( x and US ( x pL pH d…
    return 5 + _u16(data, at + 3) if len(data) >= at + 5 else None


def _display_window(data: bytes, at: int) -> int | None:
    # ESC W n m [x1 y1 x2 y2], sent to a customer display: the window is set where m is 1
    if len(data) < at + 4:
        return None
    if not 1 <= data[at + 2] <= 4:
        return 3
    return 8 if data[at + 3] in (1, 49) else 4


# FS 2 c1 c2 d… has the dots of a letter: 24 by 24, 20 by 24 and 16 by 16 in the fonts that FS ( A selects.
_KANJI_BYTES: Final = {48: 72, 49: 60, 50: 32, 0: 72, 1: 60, 2: 32}

_DLE_DC4: Final = _by_byte(2, {1: 5, 2: 5, 3: 8, 7: 4, 8: 10}, 3)
_GS_V: Final = _by_byte(2, dict.fromkeys(_FEED_CUTS, 4), 3)


def _table() -> dict[bytes, int | Measure]:
    """The first two bytes of every command → its whole length, or how to measure it."""
    table: dict[bytes, int | Measure] = {
        b"\x1b(": _esc_parenthesis,
        b"\x1c(": _esc_parenthesis,
        b"\x1d(": _esc_parenthesis,
        b"\x1f(": _esc_parenthesis,
        b"\x1d8": _gs_8,
        b"\x1b*": _esc_star,
        b"\x1bD": _esc_d,
        b"\x1bZ": _counted(5),  # ESC Z v r k nL nH d…: a QR code on small printers of Chinese make
        b"\x1dk": _gs_k,
        b"\x1dv": _gs_v0,
        b"\x1dQ": _gs_q0,
        b"\x1d*": _gs_star,
        b"\x1dC": _gs_c,
        b"\x1dD": _gs_d,
        b"\x1dV": _GS_V,
        b"\x1ca": _by_byte(2, {0x30: 4}, 3),  # FS a 0 n reads a cheque, FS a 1 and FS a 2 move it
        b"\x1cg": _fs_g,
        b"\x10\x04": _by_byte(2, {7: 4, 8: 4, 18: 4}, 3),
        b"\x10\x14": _DLE_DC4,
    }
    parameters = {
        _ESC: {
            0: "@2<LSOimv01\x0c",
            1: " !%-3=?AEFGIJKMNRTUVadegrtuz{C|~_",
            2: "$\\Bcf",
            3: "p&",
            8: "W",
        },
        _FS: {0: "&.Lbc\x0e\x12\x14\x0f", 1: "!-CWq", 2: "?Sp", 2 + _KANJI_BYTES[48]: "2"},
        _GS: {0: ":c\x0c", 1: "!/BEHITabefhjrwxy|~", 2: "$&LPW\\", 3: "^z", 4: "g"},
        _US: {0: "\x01\x02\x03\x04\x05\x06\x07\x08\n\r@B:U", 1: "CEXrv.,;", 2: "$^T#"},
        _DLE: {1: "\x05"},
    }
    for prefix, by_count in parameters.items():
        for count, codes in by_count.items():
            for code in codes:
                table[bytes((prefix, ord(code)))] = 2 + count
    return table


_COMMANDS: Final = _table()
# These two repeat a part whose length only the part itself says, so they come out as head and parts.
_REPEATING: Final = frozenset((b"\x1b&", b"\x1cq"))
_FIXED: Final = {code: length for code, length in _COMMANDS.items() if isinstance(length, int)}
_MEASURED: Final[dict[bytes, Measure]] = {
    **{code: measure for code, measure in _COMMANDS.items() if not isinstance(measure, int)},
    b"\x1bW": _display_window,  # where it has no fixed length now
}


def _unknown_length(data: bytes, at: int) -> int | None:
    """Whole length of the command at `at` that no table has, or None while that is not known."""
    if data[at] not in _PREFIXES:
        return 1
    if len(data) < at + 2:
        return None
    # The prefix and its code. A code that is itself a prefix begins the next command.
    return 1 if data[at + 1] in _PREFIXES else 2


def _command_name(data: bytes) -> str:
    prefix = _PREFIX_NAMES.get(data[0])
    if prefix is None:
        return {_FF: "FF", _CAN: "CAN"}[data[0]]
    if len(data) == 1:
        return prefix
    name = f"{prefix} {_code_name(data[1])}"
    if len(data) > 2 and data[:2] in _LONG_NAMED:
        return f"{name} {_code_name(data[2])}"
    return name


def _code_name(code: int) -> str:
    return _CODE_NAMES.get(code) or (chr(code) if 0x20 < code < 0x7F else f"0x{code:02x}")


_NAMES: dict[bytes, str] = {}
# The third byte belongs to the name: GS ( k, GS 8 L.
_LONG_NAMED: Final = frozenset((b"\x1b(", b"\x1c(", b"\x1d(", b"\x1d8", b"\x1f("))


def _known_name(data: bytes) -> str:
    """`_command_name`, remembered by the first three bytes at most (65,536 prefixed names and no more)."""
    head = data[:2]
    if head in _LONG_NAMED:
        head = data[:3]
    name = _NAMES.get(head)
    if name is None:
        name = _NAMES[head] = _command_name(data)
    return name


def _effect(name: str, command: bytes) -> FrameEffect:
    """ESC i, ESC m and the four forms of GS V cut; ESC p, and in real time DLE DC4 1, open the drawer."""
    if name == "GS V":
        return "cut" if command[2] in _PLAIN_CUTS or command[2] in _FEED_CUTS else ""
    if name == "DLE DC4":
        return "kick" if command[2] == 1 else ""
    return "kick" if name == "ESC p" else "cut"


_STEERING: Final = frozenset(("ESC @", "ESC =", "FS ( A"))
_EFFECTFUL: Final = frozenset(("GS V", "ESC i", "ESC m", "ESC p", "DLE DC4"))
# Commands of which the name is all that there is to know: most that a till sends.
_PLAIN_NAMES: Final = {
    code: name
    for code in _COMMANDS
    if code not in _LONG_NAMED | _REPEATING and (name := _command_name(code)) not in _STEERING | _EFFECTFUL
}


class CommandFramer(ABC):
    """What the framers of all printer languages share: commands whose end has not come yet.

    A command that repeats a part whose length only the part itself says comes out as its head and then one
    frame, named `… part`, for each part.
    """

    def __init__(self) -> None:
        self._start = 0  # offset in the stream of the first byte not yet in a frame
        self._head = b""  # begun command whose length is not known yet
        self._payload: bytearray | None = None  # begun command whose length is known
        self._length = 0
        self._seen = 0
        self._parts_left = 0
        self._part_name = ""
        self._part_length: Measure = _picture_part

    @abstractmethod
    def feed(self, data: bytes) -> list[Frame]:
        """Frames that `data` completes."""

    @abstractmethod
    def _named(self, command: bytes) -> tuple[str, FrameEffect]:
        """The name of a whole command and what it does."""

    def _command(self, command: bytes, start: int, end: int) -> Frame:
        """The frame of a whole command, counting the parts of those that repeat."""
        if self._parts_left:
            self._parts_left -= 1
            return Frame("command", self._part_name, start, end, command)
        name, effect = self._named(command)
        return Frame("command", name, start, end, command, effect)

    def _expect_parts(self, count: int, length: Measure, name: str) -> None:
        self._parts_left, self._part_length, self._part_name = count, length, f"{name} part"

    def _begin(self, begun: bytes, length: int | None) -> None:
        """Hold a command whose end has not come yet."""
        if length is None:
            self._head = begun
            return
        self._payload = bytearray(begun[:MAX_KEPT_BYTES])
        self._length = length
        self._seen = len(begun)

    def _collect(self, data: bytes, frames: list[Frame]) -> bytes:
        """Take what belongs to the begun command; return what comes after it."""
        assert self._payload is not None  # noqa: S101 - the caller has looked
        taken = data[: self._length - self._seen]
        self._payload += taken[: MAX_KEPT_BYTES - len(self._payload)]
        self._seen += len(taken)
        if self._seen < self._length:
            return b""
        command, end = bytes(self._payload), self._start + self._seen
        frames.append(self._command(command, self._start, end))
        self._start, self._payload = end, None
        return data[len(taken) :]

    def finish(self) -> list[Frame]:
        """The stream ends here, or pauses for good: a begun command comes out as `torn`.

        Afterwards the framer is ready for the next job; offsets go on counting.
        """
        self._parts_left = 0
        if self._payload is None and not self._head:
            return []
        data = bytes(self._payload) if self._payload is not None else self._head
        end = self._start + (self._seen if self._payload is not None else len(self._head))
        torn = Frame("torn", "", self._start, end, data)
        self._start, self._head, self._payload = end, b"", None
        return [torn]


def split_text(data: bytes) -> list[bytes]:
    """The data of a text frame: letters, mark, letters, mark … letters.

    A mark is a line end, a tab, or a whole styling command; letters may be b"".
    """
    return _MARKS.split(data)


def split_styles(data: bytes) -> list[bytes]:
    """The data of a text frame as in `split_text`, but line ends and tabs are letters too."""
    return _STYLES.split(data)


def prints(data: bytes) -> bool:
    """Whether the data of a text frame has a letter that is no blank."""
    match = _BLANK(data)
    return match is not None and match.end() < len(data)


def style_at(data: bytes, at: int) -> bytes:
    """The styling command that stands at `at` in the data of a text frame; empty where none does."""
    match = _STYLES.match(data, at)
    return match.group() if match is not None else b""


def text_line_end(data: bytes, at: int) -> int:
    """Where the line of a text frame's data that goes on at `at` ends: behind its line feed, or with the data."""
    match = _LINE(data, at)
    return match.end() if match is not None and match.end() > at else len(data)


class EscposFramer(CommandFramer):
    """Cuts a byte stream into frames, however it is split when fed.

    Text comes out as soon as it is fed, so one run may arrive in several frames; commands come out whole,
    but for ESC & and FS q, which repeat a part. With `styled_text`, commands that only style text, select
    its page or place it on its line stay within the text, in one frame of kind `text`; `split_text` takes it apart.
    """

    def __init__(self, *, styled_text: bool = False) -> None:
        super().__init__()
        self._fixed = _FIXED
        self._run = _STYLED_TEXT if styled_text else _TEXT
        self._run_heads = _STYLING_HEADS if styled_text else frozenset()

    def feed(self, data: bytes) -> list[Frame]:
        frames: list[Frame] = []
        if self._payload is not None:
            data = self._collect(data, frames)
        if self._head:
            data = self._head + data
            self._head = b""
        at, size, base = 0, len(data), self._start
        while at < size:
            run = self._run(data, at) if not self._parts_left else None
            if run is not None:
                end = run.end()
                frames.append(Frame("text", "", base + at, base + end, data[at:end]))
                at = end
                if at == size:
                    break
            code, name = data[at : at + 2], None
            if self._parts_left:
                length = self._part_length(data, at)
                name = self._part_name
            else:
                length, name = self._fixed.get(code), _PLAIN_NAMES.get(code)
                if length is None:
                    length = _MEASURED.get(code, _unknown_length)(data, at)
            if length is None or at + length > size:
                self._start = base + at
                # Held as what begins a run, so that it joins the text that follows.
                joins_text = not self._parts_left and code in self._run_heads
                self._begin(data[at:], None if joins_text else length)
                return frames
            command = data[at : at + min(length, MAX_KEPT_BYTES)]
            if name is not None:
                frames.append(Frame("command", name, base + at, base + at + length, command))
                self._parts_left -= self._parts_left > 0
            else:
                frames.append(self._command(command, base + at, base + at + length))
            at += length
        self._start = base + at
        return frames

    def _named(self, command: bytes) -> tuple[str, FrameEffect]:
        name = _known_name(command)
        if command[:2] in _REPEATING:
            if command[:2] == b"\x1cq":
                self._expect_parts(command[2], _picture_part, name)
            else:
                self._expect_parts(max(0, command[4] - command[3] + 1), _letter_part(command[2]), name)
        elif name in _STEERING:
            self._steer(name, command)
        return name, _effect(name, command) if name in _EFFECTFUL else ""

    def _steer(self, name: str, command: bytes) -> None:
        """Follow what makes other commands longer or shorter."""
        if name == "ESC @":
            self._fixed = _FIXED
        elif name == "ESC =":
            # What goes to a customer display alone: there ESC W is another command.
            window = {} if command[2] & 3 == 2 else {b"\x1bW": _FIXED[b"\x1bW"]}
            self._fixed = {code: length for code, length in self._fixed.items() if code != b"\x1bW"} | window
        elif command[5:6] == b"0" and command[6:7]:
            dots = _KANJI_BYTES.get(command[6], _KANJI_BYTES[48])
            self._fixed = self._fixed | {b"\x1c2": 4 + dots}
