"""Rules as operators write them: TOML or JSON, and back."""

from __future__ import annotations

import pytest

from central.rules_file import config_from_file, rules_toml
from loyalty.centre_config import ConfigError
from loyalty.identification import IdentificationRule

TOML = b"""# our cards
[[identification]]
name = "plastic"
prefixes = ["29"]
ranges = [["2800", "2849"]]
lengths = [13]
"""
JSON = b' {"identification": [{"name":"plastic","prefixes":["29"],"ranges":[["2800","2849"]],"lengths":[13]}]}'


def test_toml_and_json_say_the_same() -> None:
    assert config_from_file(TOML) == config_from_file(JSON)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "identification"),
        (b"# nothing\n", "identification"),
        (b'[[identification]]\nname = "a', "not TOML"),
        (b'[[identification]]\nname = "a"\nsince = 2026-01-01', "'a', since"),
        (b"identification = " + b"[" * 100_000, "not TOML"),
        (b'[[identification]]\nname = "\xff"', "not UTF-8"),
        (b'[identification]\nname = "a"', "list"),
        (b'{"identification":', "not JSON"),
        (b'{"identification":"\xff"}', "not JSON"),
    ],
)
def test_what_is_no_rules_file_says_why(content: bytes, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        config_from_file(content)


def test_no_rules_at_all_have_to_be_said() -> None:
    assert config_from_file(b"identification = []").identification == ()


@pytest.mark.parametrize(
    "rules",
    [
        (),
        (IdentificationRule(name="plastic", prefixes=("29", "28"), ranges=(("2900", "2949"),), lengths=(13,)),),
        (
            IdentificationRule(name='a "quoted" \\ name', kind="goods", symbologies=("ean13",), prefixes=("978",)),
            IdentificationRule(name="ћирилица 名", kind="wallet", pattern="https://š.example/?m={code}&*", to_pos=True),
            IdentificationRule(name="gsrn", ai="8018", drop_leading=2, drop_trailing=1, add_leading="C"),
        ),
    ],
)
def test_what_is_shown_can_be_published_again(rules: tuple[IdentificationRule, ...]) -> None:
    assert config_from_file(rules_toml(rules).encode()).identification == rules
