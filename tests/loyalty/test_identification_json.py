"""Rules as they are stored and sent."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import fields

import pytest

from loyalty.identification import MAX_RULES, IdentificationRule, claimed, owns_number
from loyalty.identification_checks import RulesError, rule_problems
from loyalty.identification_json import (
    _FIELDS,
    MAX_JSON_BYTES,
    rule_documents,
    rules_from_documents,
    rules_from_json,
    rules_json,
)

FULL = IdentificationRule(
    name="klub č. 1",
    kind="wallet",
    symbologies=("qr", "datamatrix"),
    ai="8018",
    prefixes=("29",),
    ranges=(("9000", "9099"), ("1", "2")),
    lengths=(13, 16),
    check_digit="luhn",
    pattern="https://club.example/m/{code}*",
    drop_leading=2,
    drop_trailing=1,
    add_leading="C",
    to_pos=True,
)
PLAIN = IdentificationRule(name="plain", prefixes=("29",))


def test_every_field_is_written_and_read() -> None:
    assert list(_FIELDS) == [field.name for field in fields(IdentificationRule)]
    assert all(getattr(FULL, field.name) != field.default for field in fields(FULL))
    assert rules_from_json(rules_json((FULL, PLAIN))) == (FULL, PLAIN)
    assert rules_from_documents(json.loads(json.dumps(rule_documents((FULL,))))) == (FULL,)
    assert rules_from_documents(rule_documents((FULL,))) == (FULL,)
    assert "klub č. 1".encode() in rules_json((FULL,))
    assert rules_from_json(rules_json((FULL,)).ljust(MAX_JSON_BYTES)) == (FULL,)


def test_defaults_are_left_out() -> None:
    assert json.loads(rules_json((PLAIN,))) == {"rules": [{"name": "plain", "prefixes": ["29"]}]}
    assert rules_from_json(b'{"rules":[]}') == ()
    assert len(rules_from_documents([{"name": "a"}] * MAX_RULES)) == MAX_RULES


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"prefixes": ["29"]}, "name"),
        ({"name": 7}, "name"),
        ({"name": "a", "kind": "cards"}, "kind"),
        ({"name": "a", "kind": ["card"]}, "kind"),
        ({"name": "a", "prefixes": "29"}, "prefixes"),
        ({"name": "a", "prefixes": [29]}, "prefixes"),
        ({"name": "a", "ranges": ["9000", "9099"]}, "ranges"),
        ({"name": "a", "ranges": [["9000", "9099", "9100"]]}, "ranges"),
        ({"name": "a", "ranges": [[9000, 9099]]}, "ranges"),
        ({"name": "a", "lengths": [13.0]}, "lengths"),
        ({"name": "a", "lengths": [True]}, "lengths"),
        ({"name": "a", "lengths": 13}, "lengths"),
        ({"name": "a", "check_digit": "mod10"}, "check_digit"),
        ({"name": "a", "drop_leading": "2"}, "drop_leading"),
        ({"name": "a", "to_pos": 1}, "to_pos"),
        ({"name": "a", "prefix": ["29"]}, "prefix"),
        ([], ""),
        (None, ""),
    ],
)
def test_what_has_not_the_shape_of_a_rule_is_refused_with_its_place(document: object, field: str) -> None:
    with pytest.raises(RulesError) as refused:
        rules_from_documents([{"name": "first", "prefixes": ["29"]}, document])

    assert [(problem.index, problem.field) for problem in refused.value.problems] == [(1, field)]
    assert "identification rule 2" in str(refused.value)


@pytest.mark.parametrize(
    ("documents", "says"),
    [
        ({}, "identification rules: are no list; write a list of rules"),
        (
            [{"name": "a"}] * (MAX_RULES + 1),
            f"identification rules: are more than {MAX_RULES}; put one kind of card into one rule",
        ),
        ([None], "identification rule 1 '': is no table; write its fields"),
        (
            [{"name": "a", "prefix": ["29"]}],
            f"identification rule 1 'a', prefix: is no field of a rule; known are {', '.join(_FIELDS)}",
        ),
        ([{"lengths": [8]}], "identification rule 1 '', name: is missing; write one such as \"club card\""),
        (
            [{"name": 7}],
            "identification rule 1 '', name: has not the right type; write a text in quotes, such as \"club card\"",
        ),
        (
            [{"name": "a", "check_digit": "mod10"}],
            "identification rule 1 'a', check_digit: has not the right type; write one of none, gs1, luhn",
        ),
        (
            [{"name": "a", "lengths": 13, "drop_leading": "2"}],
            "identification rule 1 'a', lengths: has not the right type; write a list such as [13]\n"
            "identification rule 1 'a', drop_leading: has not the right type; write a whole number",
        ),
    ],
)
def test_what_is_wrong_with_a_rule_says_what_to_write(documents: object, says: str) -> None:
    with pytest.raises(RulesError) as refused:
        rules_from_documents(documents)

    assert str(refused.value) == says


def test_what_is_no_document_of_rules_is_for_the_agent_to_mend() -> None:
    with pytest.raises(RulesError) as refused:
        rules_from_json(b"[]")

    assert str(refused.value) == (
        'identification rules: are not written as {"rules": […]}; have the agent write them again'
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"rules":{}}',
        b'{"rules":[],"more":1}',
        b'{"rules":[],"rules":[]}',
        b'{"rules":[{"name":"a","name":"b","prefixes":["29"]}]}',
        b'{"rules":[{"name":"a","lengths":[NaN]}]}',
        b'{"rules":"\xff"}',
        b'{"rules":' + b"[" * 100_000,
        b'{"rules":[' + b"9" * 100_000 + b"]}",
        b'{"rules":[]}' + b" " * MAX_JSON_BYTES,
        json.dumps({"rules": [{"name": str(n)} for n in range(MAX_RULES + 1)]}).encode(),
        b'{"rules":[{"name":"everything"}]}',  # could be read, not used
    ],
)
def test_what_cannot_be_used_is_refused(data: bytes) -> None:
    with pytest.raises(RulesError) as refused:
        rules_from_json(data)

    assert str(refused.value)


def test_the_standard_library_is_enough() -> None:
    """The relay has nothing else."""
    program = "import sys; from loyalty.identification_json import rules_from_json; print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()

    assert {name.partition(".")[0] for name in loaded} <= {*sys.stdlib_module_names, "loyalty"} | _of_interpreter()


def _of_interpreter() -> set[str]:
    """What Python loads at its start here, such as editable installs."""
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    ).stdout.split()
    return {name.partition(".")[0] for name in loaded}


TEXTS = [
    "2912345678906",
    "M-00 1234",
    "https://club.example/m/ab-12?utm=1",
    "9000123412341234",
    "6011000990139424",
    "TS:7f3a;",
    "'; DROP TABLE members; --",
]
NOISE = ["", "{code}", "*", "-", " ", "9", "A", "\x1d", "<", "é", "٣", "\ud800", "0" * 200, "/", "?", "://", "ß", "ı"]


def _mutated(chance: random.Random, text: str) -> str:
    for _ in range(int(chance.random() * 3)):
        at = int(chance.random() * (len(text) + 1))
        text = text[:at] + NOISE[int(chance.random() * len(NOISE))] + text[at + int(chance.random() * 3) :]
    return text


def _random_rule(chance: random.Random) -> IdentificationRule:
    """Any rule that has the right types, mostly a wrong one."""
    text = chance.choice(TEXTS)
    size = chance.randrange(5)
    return IdentificationRule(
        name=_mutated(chance, "club"),
        kind=chance.choice(["card", "wallet", "phone", "goods"]),
        symbologies=chance.choice([(), (), ("qr",), ("ean13", "unknown")]),
        ai=chance.choice(["", "", "", "8018", "21", "x"]),
        prefixes=chance.choice([(), (_mutated(chance, text[:size]),), ("29", _mutated(chance, "9000"))]),
        ranges=chance.choice([(), (), ((_mutated(chance, text[:4]), text[:4]),), (("9000", "9099"),)]),
        lengths=chance.choice([(), (), (len(text),), (13, 16, -1)]),
        check_digit=chance.choice(["none", "none", "gs1", "luhn"]),
        pattern=chance.choice(
            ["", "", _mutated(chance, text[:-4] + "{code}"), "https://club.example/m/{code}*", "{code}"]
        ),
        drop_leading=chance.choice([0, 0, 2, -1, 1000]),
        drop_trailing=chance.choice([0, 0, 1, -1, 1000]),
        add_leading=chance.choice(["", "", "C", "+386", "="]),
    )


def test_no_rule_and_no_text_raise_and_no_code_can_act() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    harmless = set("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/+$%@=~")
    claims = 0
    for _ in range(1_000):
        rules = [_random_rule(chance) for _ in range(3)]
        rule_problems(rules)
        rules_from_documents(rule_documents(rules))
        for _ in range(200):
            text = _mutated(chance, TEXTS[int(chance.random() * len(TEXTS))])
            claim = claimed(rules, symbology="unknown", text=text, gs1={"8018": text, "21": "9000123412341234"})
            if claim is not None:
                claims += 1
                assert set(claim.code) <= harmless, f"seed {seed}: {text!r}"
                assert len(claim.code) <= 64, f"seed {seed}"
                assert claim.code[:1] not in set("=@%$/:.~_"), f"seed {seed}: {text!r}"
                assert bool(claim.code) is (not claim.misread and claim.rule.kind != "goods"), f"seed {seed}: {text!r}"
        assert owns_number(rules, "6011000990139424") in (True, False)
    assert claims > 10_000, f"seed {seed}"


@pytest.mark.parametrize(
    "text", ["9" * 100_000, "m/" * 50_000, "m/" + "9" * 100_000, "-" * 100_000, "m/9;" * 25_000, "M" * 100_000]
)
def test_a_hostile_text_takes_no_longer_than_its_length(text: str) -> None:
    """Would take minutes if anything searched back and forth."""
    rules = [
        IdentificationRule(name=str(n), pattern="m/{code};*" if n % 2 else "", prefixes=("9",), check_digit="luhn")
        for n in range(MAX_RULES)
    ]
    goods = [IdentificationRule(name="goods", kind="goods", prefixes=("1",), check_digit="gs1")]

    claimed([*rules, *goods], symbology="qr", text=text, gs1=None)
