"""A subject of the command line whose module is imported when it is asked for."""

from __future__ import annotations

from collections.abc import MutableMapping
from functools import cache
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group


def subject(where: str, about: str) -> typer.Typer:
    """The commands of `module:app` in this package, where `about` is what the list of subjects says of them."""

    @cache
    def commands() -> MutableMapping[str, Any]:
        module, _, name = where.partition(":")
        return get_group(getattr(import_module(f"central.cli.{module}"), name)).commands

    class Subject(TyperGroup):
        @property
        def commands(self) -> MutableMapping[str, Any]:
            return commands()

        @commands.setter
        def commands(self, _none_yet: MutableMapping[str, Any]) -> None:
            """As typer makes the group: it knows of none."""

    return typer.Typer(cls=Subject, no_args_is_help=True, help=about)
