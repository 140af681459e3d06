"""Template files of an operator, as far as the centre looks at them.

Owns that a file is TOML, has a name, and is not too long. What its words and shapes mean, the registers know, and
`tillside template check`.
"""

from __future__ import annotations

import tomllib

from loyalty.centre_config import MAX_TEMPLATE_LETTERS, ConfigError, LayoutTemplate, templates_from


def template_from_file(content: bytes) -> LayoutTemplate:
    """The template of a file. Raises ConfigError."""
    try:
        text = content.decode()
        values = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise ConfigError(f"byte {error.start} is not UTF-8; save the file as UTF-8") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"not TOML: {error}; correct that line") from error
    if not isinstance(values.get("name"), str):
        raise ConfigError('no name; begin the template with a line such as name = "corner-shop"')
    if len(text) > MAX_TEMPLATE_LETTERS:
        raise ConfigError(f"longer than {MAX_TEMPLATE_LETTERS} letters; this is no template")
    (template,) = templates_from([{"name": values["name"], "toml": text}])
    return template
