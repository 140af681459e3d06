"""The templates that the settings name, read when the register starts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from config.settings import Settings, SettingsError

if TYPE_CHECKING:
    from drivers.receipts.template import Template


def templates_of(settings: Settings, without: Collection[str] = ()) -> Mapping[str, tuple[Template, ...]]:
    """By the name of its source, the template to read with; none for sources `without`.

    Raises SettingsError that names the template's file.
    """
    sources = (source for source in settings.receipts if source.name not in without)
    named = {source.name: source.template for source in sources if source.template is not None}
    if not named:
        return {}
    # Loaded where there is one.
    from drivers.receipts.template import TemplateError  # noqa: PLC0415
    from drivers.receipts.template_files import load_template  # noqa: PLC0415

    found = {}
    for name, template in named.items():
        try:
            found[name] = (load_template(template),)
        except TemplateError as error:
            first = error.problems[0]
            raise SettingsError(error.where, first.key, first.problem, first.remedy) from error
    return found
