"""The centre's config: one form, nothing unread, every refusal with its place."""

from __future__ import annotations

import hashlib
import json

import pytest

from loyalty.centre_config import (
    MAX_TEMPLATES,
    CentreConfig,
    ConfigError,
    LayoutTemplate,
    config_from_json,
    config_from_values,
    config_hash,
    config_json,
    config_warnings,
)
from loyalty.identification import IdentificationRule

PLASTIC = IdentificationRule(name="plastic", prefixes=("29",), lengths=(13,), check_digit="gs1")
APP = IdentificationRule(name="app", kind="wallet", pattern="https://club.example/m/{code}*", to_pos=True)


def test_a_config_comes_back_as_it_was_written() -> None:
    config = CentreConfig(identification=(PLASTIC, APP))

    assert config_from_json(config_json(config)) == config


def test_what_stands_at_its_default_is_left_out_so_that_older_registers_read_it() -> None:
    written = json.loads(config_json(CentreConfig(identification=(PLASTIC,))))

    assert written == {
        "identification": [{"name": "plastic", "prefixes": ["29"], "lengths": [13], "check_digit": "gs1"}]
    }


def test_equal_rules_have_one_form_however_they_were_written() -> None:
    one = {"identification": [{"name": "a", "prefixes": ["29"], "kind": "card", "to_pos": False}]}
    other = {"identification": [{"prefixes": ["29"], "name": "a"}]}

    assert config_json(config_from_values(one)) == config_json(config_from_values(other))


def test_the_one_form_has_sorted_keys_and_no_spaces() -> None:
    assert config_json(CentreConfig(identification=(PLASTIC,))) == (
        b'{"identification":[{"check_digit":"gs1","lengths":[13],"name":"plastic","prefixes":["29"]}]}'
    )


def test_the_hash_is_of_the_bytes_as_they_are_sent() -> None:
    document = config_json(CentreConfig(identification=(PLASTIC,)))

    assert config_hash(document) == hashlib.sha256(document).hexdigest()


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"{", ["not JSON"]),
        (b"[" * 100_000, ["not JSON"]),
        (b'{"identification":"\xff"}', ["not JSON"]),
        (b"[]", ["identification"]),
        (b"{}", ["identification", "an empty one for none"]),
        (b'{"identification":[],"magic":1}', ["'magic'", "this version reads identification"]),
        (b'{"identification":{}}', ["list"]),
        (b'{"identification":[{"prefixes":["29"]}]}', ["rule 1", "name", "is missing"]),
        (b'{"identification":[{"name":"a","prefixes":["29"],"colour":"gold"}]}', ["rule 1 'a', colour", "no field"]),
        (b'{"identification":[{"name":"a","prefixes":"29"}]}', ["rule 1 'a', prefixes", '["29"]']),
        (b'{"identification":[{"name":"a","prefixes":["29"],"to_pos":1}]}', ["rule 1 'a', to_pos", "true or false"]),
        (b'{"identification":[{"name":"a"}]}', ["rule 1 'a'", "every code"]),
        (
            b'{"identification":[{"name":"a","prefixes":["29"]},{"name":"a","prefixes":["28"]}]}',
            ["rule 1 'a', name", "rule 2 'a', name"],
        ),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place(document: bytes, words: list[str]) -> None:
    with pytest.raises(ConfigError) as refused:
        config_from_json(document)

    for word in words:
        assert word in str(refused.value)


def test_what_is_probably_not_meant_is_a_warning() -> None:
    second = IdentificationRule(name="second", prefixes=("291",), lengths=(13,), check_digit="gs1")

    (warning,) = config_warnings(
        config_from_values(json.loads(config_json(CentreConfig(identification=(PLASTIC, second)))))
    )

    assert "same codes" in str(warning)


def test_templates_are_read_as_they_were_written_and_nothing_else_of_them_is() -> None:
    templates = (LayoutTemplate(name="a", toml='name = "a"\n'), LayoutTemplate(name="b", toml='name = "b"\n'))
    config = CentreConfig(identification=(), templates=templates)

    assert config_from_json(config_json(config)) == config
    assert b"templates" not in config_json(CentreConfig(identification=()))


@pytest.mark.parametrize(
    ("templates", "why"),
    [
        ("a", "list"),
        ([{"name": "a"}], "toml"),
        ([{"name": "a", "toml": "x", "sort": 1}], "sort"),
        ([{"name": "a", "toml": "x"}, {"name": "a", "toml": "y"}], "twice"),
    ],
)
def test_templates_of_another_shape_are_refused(templates: object, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        config_from_values({"identification": [], "templates": templates})


def test_more_templates_than_a_register_holds_are_refused() -> None:
    values = [{"name": f"till-{number}", "toml": "x"} for number in range(MAX_TEMPLATES + 1)]

    with pytest.raises(ConfigError, match=f"more than {MAX_TEMPLATES}"):
        config_from_values({"identification": [], "templates": values})
    assert len(config_from_values({"identification": [], "templates": values[1:]}).templates) == MAX_TEMPLATES
