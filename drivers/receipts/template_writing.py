"""A template as the TOML file that a person reads and corrects. `template_from` reads it back to the same template."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from drivers.receipts.template import Template

MAX_LINE: Final = 110
_FIRST: Final = (
    "name", "version", "language", "description", "currency", "decimal_mark", "spaced_thousands", "amounts", "dates",
)  # fmt: skip


def template_text(template: Template, comment: str = "") -> str:
    """The file of a template; what is as it would be without a word is left out."""
    content = msgspec.to_builtins(template)
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    lines += [_assigned(key, content[key]) for key in _FIRST if key in content]
    for key in Template.__struct_fields__:
        part = getattr(template, key)
        if isinstance(part, Struct) and (table := msgspec.to_builtins(part)):
            lines += ["", f"[{key}]", *(_assigned(name, value) for name, value in table.items())]
    return "\n".join(lines) + "\n"


def _assigned(key: str, value: Any) -> str:
    flat = f"{key} = {_value(value)}"
    if not isinstance(value, list | tuple) or len(flat) <= MAX_LINE:
        return flat
    return "\n".join([f"{key} = [", *_rows([_value(each) for each in value]), "]"])


def _rows(values: list[str]) -> Iterator[str]:
    row = " "
    for value in values:
        if len(row) + len(value) + 2 > MAX_LINE and row.strip():
            yield row
            row = " "
        row += f" {value},"
    yield row


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(each) for each in value)}]"
    # A TOML string knows the escapes of JSON; true, false and numbers are written alike.
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")
