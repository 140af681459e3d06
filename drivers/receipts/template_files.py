"""Templates on disk: the shipped ones, and the operator's.

Owns where they are looked for. Never judges one (`template` does).
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from drivers.receipts.template import MAX_TEMPLATE_BYTES, Template, TemplateError, TemplateProblem, template_from

# In the order in which their words are tried.
SHIPPED: Final = ("en", "de", "sr", "hr", "sl")
_FOLDER: Final = "templates"


@cache
def shipped(name: str) -> Template:
    """A template that comes with Tillside. Raises KeyError."""
    return template_from(shipped_text(name).encode(), f"the shipped template {name}")


def shipped_text(name: str) -> str:
    """Its file, with its comments. Raises KeyError."""
    if name not in SHIPPED:
        raise KeyError(name)
    return (files("drivers.receipts") / _FOLDER / f"{name}.toml").read_text(encoding="utf-8")


def load_template(name_or_path: str, folder: Path | None = None) -> Template:
    """A shipped template by its name, else the file of that path, taken from `folder`. Raises TemplateError."""
    if name_or_path in SHIPPED:
        return shipped(name_or_path)
    file = (folder or Path()) / name_or_path
    try:
        with file.open("rb") as stream:
            document = stream.read(MAX_TEMPLATE_BYTES + 1)
    except OSError as error:
        remedy = f"Name a template's file, or one that is shipped: {', '.join(SHIPPED)}"
        problem = TemplateProblem(key="", problem=f"{error.strerror or error}", remedy=remedy)
        raise TemplateError(str(file), [problem]) from error
    return template_from(document, str(file))
