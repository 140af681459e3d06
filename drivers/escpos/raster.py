"""Pictures out of the commands that print them. Standard library only.

Owns how each command lays its dots out, what the printer keeps of pictures that are stored first and printed
later, and the limits on what is kept. Text decoding pays nothing for it: a picture holds its commands'
bytes, and becomes dots when somebody asks.

Source: the public ESC/POS command lists of printer makers, for GS v 0, GS Q 0, ESC *, GS * and GS /, FS q and FS p, and
the functions 2, 50, 67–69, 83–85, 112 and 113 of GS ( L and GS 8 L.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from drivers.escpos.framing import Frame
from drivers.escpos.picture import (
    EMPTY,
    MAX_SCALE,
    Bitmap,
    from_columns,
    from_rows,
    overlaid,
    scaled,
    side_by_side,
    stacked,
)

# The relay keeps 2 MiB of a job. Pictures beyond this on one sheet are named and have no dots.
MAX_SHEET_PICTURE_BYTES: Final = 8 * 1024 * 1024
# Strips of 24 dots: 3 m of paper. Later strips of the same picture have no dots.
MAX_STRIPS: Final = 1024
# Drivers print one or a few side by side; later ones on a line have no dots.
MAX_STRIPS_A_LINE: Final = 32
# The colours of a printer that has them; on paper all are black here.
MAX_COLOURS: Final = 4
# Pictures that a printer keeps by number or key, and their bytes: no printer has more user memory.
MAX_STORED_PICTURES: Final = 256
MAX_STORED_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One command's dots: `data` from `offset` on, by columns or by rows, each dot `across` wide and `down` high.

    `left` is how many dots from the margin it was printed.
    """

    data: bytes
    offset: int
    width: int
    height: int
    by_columns: bool = False
    across: int = 1
    down: int = 1
    left: int = 0

    def bitmap(self) -> Bitmap:
        if self.offset >= len(self.data):
            return EMPTY
        dots = self.data[self.offset :]
        made = from_columns if self.by_columns else from_rows
        return scaled(made(dots, width=self.width, height=self.height), _scale(self.across), _scale(self.down))


def _scale(factor: int) -> int:
    return min(max(factor, 1), MAX_SCALE)


# The same place in several colours.
Layers = tuple[Block, ...]
# What kind of memory, and the number or key in it.
_Key = tuple[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture as the printer got it: lines from top to bottom, each of blocks from left to right."""

    lines: tuple[tuple[Layers, ...], ...]

    def bitmap(self) -> Bitmap:
        """Its dots, within the limits of `drivers.escpos.picture`. The time it takes grows with them."""
        return stacked([side_by_side([(layers[0].left, _flat(layers)) for layers in line]) for line in self.lines])

    def followed_by(self, strip: Picture, *, beside: bool) -> Picture:
        """This one with a `strip` below it, or at the right end of its last line."""
        if len(self.lines) >= MAX_STRIPS or (beside and len(self.lines[-1]) >= MAX_STRIPS_A_LINE):
            return self
        if beside:
            return Picture(lines=(*self.lines[:-1], self.lines[-1] + strip.lines[0]))
        return Picture(lines=self.lines + strip.lines)


def _flat(layers: Layers) -> Bitmap:
    return layers[0].bitmap() if len(layers) == 1 else overlaid([layer.bitmap() for layer in layers])


class PictureMemory:
    """What a printer keeps of pictures: defined and stored ones, and those that wait in its graphics buffer.

    Give it every frame that may store or print one, in order.
    """

    def __init__(self) -> None:
        self._room = MAX_SHEET_PICTURE_BYTES
        self._stored: dict[_Key, Layers] = {}
        self._stored_bytes = 0
        self._buffer: Layers = ()
        self._logos = 0

    def new_sheet(self) -> None:
        """Paper was cut: the next sheet has room for pictures again."""
        self._room = MAX_SHEET_PICTURE_BYTES

    def take(self, frame: Frame, *, left: int = 0) -> Picture | None:
        """The picture that `frame` prints, `left` dots from the margin; None if it prints none, or an unknown one."""
        act = self._ACTS.get(frame.name)
        layers = act(self, frame.data) if act is not None else ()
        if not layers:
            return None
        if left:
            layers = tuple(replace(layer, left=left) for layer in layers)
        return Picture(lines=((layers,),))

    def _printed(self, block: Block) -> Layers:
        """A block that is not kept in the printer's memory, but with the sheet."""
        self._room -= len(block.data)
        return (block,) if self._room >= 0 else ()

    def _keep(self, key: _Key, layers: Layers) -> None:
        before = sum(len(layer.data) for layer in self._stored.pop(key, ()))
        self._stored_bytes += sum(len(layer.data) for layer in layers) - before
        if self._stored_bytes <= MAX_STORED_BYTES and len(self._stored) < MAX_STORED_PICTURES:
            self._stored[key] = layers
        else:
            self._stored_bytes -= sum(len(layer.data) for layer in layers)

    def _kept(self, key: _Key, across: int, down: int) -> Layers:
        return tuple(replace(layer, across=across, down=down) for layer in self._stored.get(key, ()))

    def _raster(self, data: bytes) -> Layers:
        # GS v 0 m xL xH yL yH d…: x bytes in each of y rows · GS Q 0 m xL xH yL yH d…: x columns of y bytes
        if len(data) < 8:
            return ()
        across, down = _sizes(data[3])
        x, y = _u16(data, 4), _u16(data, 6)
        if data[1] == 0x76:
            return self._printed(Block(data=data, offset=8, width=x * 8, height=y, across=across, down=down))
        return self._printed(
            Block(data=data, offset=8, width=x, height=y * 8, by_columns=True, across=across, down=down)
        )

    def _strip(self, data: bytes) -> Layers:
        # ESC * m nL nH d…: single density has dots twice as wide, strips of 8 dots have them three times as high.
        mode, columns = data[2], _u16(data, 3)
        height, down = (24, 1) if mode >= 32 else (8, 3)
        return self._printed(
            Block(
                data=data, offset=5, width=columns, height=height, by_columns=True,
                across=1 if mode & 1 else 2, down=down,
            )
        )  # fmt: skip

    def _define(self, data: bytes) -> Layers:
        # GS * x y d…: 8x columns of y bytes
        self._keep(
            ("defined", b""), (Block(data=data, offset=4, width=data[2] * 8, height=data[3] * 8, by_columns=True),)
        )
        return ()

    def _defined(self, data: bytes) -> Layers:
        return self._kept(("defined", b""), *_sizes(data[2]))

    def _forget_logos(self, _data: bytes) -> Layers:
        # FS q n, then n parts xL xH yL yH d…: they replace all that were there.
        for key in [key for key in self._stored if key[0] == "logo"]:
            self._stored_bytes -= sum(len(layer.data) for layer in self._stored.pop(key))
        self._logos = 0
        return ()

    def _logo(self, data: bytes) -> Layers:
        # 8x columns of y bytes
        if len(data) >= 4:
            self._logos += 1
            block = Block(data=data, offset=4, width=_u16(data, 0) * 8, height=_u16(data, 2) * 8, by_columns=True)
            self._keep(("logo", bytes((self._logos & 0xFF,))), (block,))
        return ()

    def _stored_logo(self, data: bytes) -> Layers:
        # FS p n m
        return self._kept(("logo", data[2:3]), *_sizes(data[3]))

    def _graphics(self, data: bytes) -> Layers:
        # GS ( L pL pH m fn … and GS 8 L p1 p2 p3 p4 m fn …
        at = 5 if data[1] == 0x28 else 7
        function = data[at + 1] if len(data) > at + 1 else 0
        if function in (112, 113) and len(data) >= at + 10:
            self._to_buffer(data, at)
        elif function in (2, 50):
            layers, self._buffer = self._buffer, ()
            return layers
        elif function in (67, 68, 83, 84) and len(data) >= at + 11:
            self._define_by_key(data, at)
        elif function in (69, 85) and len(data) >= at + 6:
            key = ("nv" if function == 69 else "ram", data[at + 2 : at + 4])
            return self._kept(key, data[at + 4], data[at + 5])
        return ()

    def _to_buffer(self, data: bytes, at: int) -> None:
        # m fn a bx by c xL xH yL yH d…: one colour; 112 by rows, 113 by columns
        block = Block(
            data=data, offset=at + 10, width=_u16(data, at + 6), height=_u16(data, at + 8),
            by_columns=data[at + 1] == 113, across=data[at + 3], down=data[at + 4],
        )  # fmt: skip
        if len(self._buffer) < MAX_COLOURS:
            self._buffer += self._printed(block)

    def _define_by_key(self, data: bytes, at: int) -> None:
        # m fn a kc1 kc2 b xL xH yL yH [c d…]b: 67 and 83 by rows, 68 and 84 by columns
        function, width, height = data[at + 1], _u16(data, at + 6), _u16(data, at + 8)
        by_columns = function in (68, 84)
        size = width * ((height + 7) // 8) if by_columns else (width + 7) // 8 * height
        layers = tuple(
            Block(data=data, offset=at + 11 + colour * (1 + size), width=width, height=height, by_columns=by_columns)
            for colour in range(min(data[at + 5], MAX_COLOURS))
        )
        self._keep(("nv" if function in (67, 68) else "ram", data[at + 3 : at + 5]), layers)

    _ACTS: ClassVar[dict[str, Callable[[PictureMemory, bytes], Layers]]] = {
        "GS v": _raster,
        "GS Q": _raster,
        "ESC *": _strip,
        "GS *": _define,
        "GS /": _defined,
        "FS q": _forget_logos,
        "FS q part": _logo,
        "FS p": _stored_logo,
        "GS ( L": _graphics,
        "GS 8 L": _graphics,
    }


def _u16(data: bytes, at: int) -> int:
    return data[at] | data[at + 1] << 8


def _sizes(mode: int) -> tuple[int, int]:
    """Bit 0 is twice as wide, bit 1 twice as high."""
    return 1 + (mode & 1), 1 + (mode >> 1 & 1)
