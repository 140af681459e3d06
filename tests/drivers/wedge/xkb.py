"""Linux's own key maps through libxkbcommon, to hold ours against. Absent where the library or its data is."""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drivers.wedge.keymaps import Level, Symbol

# The keysyms that are dead, by the character that stands for them here.
_DEAD = {
    "dead_grave": "`",
    "dead_acute": "´",
    "dead_circumflex": "^",
    "dead_tilde": "~",
    "dead_breve": "˘",
    "dead_abovedot": "˙",
    "dead_diaeresis": "¨",
    "dead_abovering": "°",
    "dead_doubleacute": "˝",
    "dead_caron": "ˇ",
    "dead_cedilla": "¸",
    "dead_ogonek": "˛",
}
_EVDEV_OFFSET = 8


class _Names(ctypes.Structure):
    _fields_ = [(name, ctypes.c_char_p) for name in ("rules", "model", "layout", "variant", "options")]


def is_here() -> bool:
    return ctypes.util.find_library("xkbcommon") is not None and Path("/usr/share/X11/xkb/symbols/us").exists()


class XkbLayout:
    """One layout as Linux has it."""

    def __init__(self, library: ctypes.CDLL, keymap: int) -> None:
        self._library = library
        self._keymap = keymap

    def symbol(self, code: int, level: Level) -> Symbol | None:
        keysyms = ctypes.POINTER(ctypes.c_uint32)()
        count = self._library.xkb_keymap_key_get_syms_by_level(
            self._keymap, code + _EVDEV_OFFSET, 0, level, ctypes.byref(keysyms)
        )
        if count != 1:
            return None
        name = ctypes.create_string_buffer(64)
        self._library.xkb_keysym_get_name(keysyms[0], name, 64)
        if (dead := _DEAD.get(name.value.decode())) is not None:
            return Symbol(char=dead, dead=True)
        char = self._library.xkb_keysym_to_utf32(keysyms[0])
        return Symbol(char=chr(char)) if char else None


@contextmanager
def xkb_layout(layout: str, variant: str = "") -> Iterator[XkbLayout]:
    library = ctypes.CDLL(ctypes.util.find_library("xkbcommon"))
    library.xkb_context_new.restype = ctypes.c_void_p
    library.xkb_keymap_new_from_names.restype = ctypes.c_void_p
    library.xkb_keymap_key_get_syms_by_level.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_uint32,
        ctypes.c_uint32,
        ctypes.c_void_p,
    ]
    for name in ("xkb_context_unref", "xkb_keymap_unref"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
    context = library.xkb_context_new(0)
    names = _Names(b"evdev", b"pc105", layout.encode(), variant.encode(), b"")
    keymap = library.xkb_keymap_new_from_names(ctypes.c_void_p(context), ctypes.byref(names), 0)
    try:
        yield XkbLayout(library, keymap)
    finally:
        library.xkb_keymap_unref(keymap)
        library.xkb_context_unref(context)
