"""Programs: what they may say, and what is said of a wrong one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loyalty.conditions import MAX_DEPTH
from loyalty.program import (
    ProgramError,
    program_from_json,
    program_hash,
    program_json,
    program_schema,
)

GOOD = b'{"program":"p","currency":"EUR","earn":[{"id":"base","give":{"points":1,"per_minor":100}}]}'


def test_the_hash_is_of_the_content_not_of_its_writing() -> None:
    spaced = GOOD.replace(b",", b" ,\n")

    assert program_hash(program_from_json(spaced)) == program_hash(program_from_json(GOOD))
    assert program_from_json(program_json(program_from_json(GOOD))) == program_from_json(GOOD)
    other = program_from_json(GOOD.replace(b'"points":1', b'"points":2'))
    assert program_hash(other) != program_hash(program_from_json(GOOD))
    document = program_json(other)
    assert document == json.dumps(json.loads(document), sort_keys=True, separators=(",", ":")).encode()


REWARD = b'{"id":"r","cost":5,"discount_minor":1}'


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (b"{", "not JSON"),
        (GOOD.replace(b'"program":"p"', b'"program":"\xff"'), "not JSON"),
        (GOOD.replace(b'"points":1', b'"points":1.5'), "$.earn[0].give.points"),
        (GOOD.replace(b'"points":1', b'"points":0'), "$.earn[0].give.points"),
        (GOOD.replace(b'"points":1', b'"points":1000000001'), "$.earn[0].give.points"),
        (GOOD.replace(b'"points":1', b'"points":' + b"9" * 40), "$.earn[0].give.points"),
        (GOOD.replace(b'"EUR"', b'"EUR","rewards":[{"id":"r","cost":-5,"discount_minor":1}]'), "$.rewards[0].cost"),
        (GOOD.replace(b'"EUR"', b'"EUR","rewards":[' + b",".join([REWARD, REWARD]) + b"]"), "$.rewards[1].id"),
        (GOOD.replace(b'"program":"p"', b'"program":"p","surprise":1'), "surprise"),
        (GOOD.replace(b'"EUR"', b'"EUR","time_zone":"Mars/Base"'), "$.time_zone"),
        (GOOD.replace(b'"EUR"', b'"EUR","time_zone":"Europe"'), "$.time_zone"),
        (GOOD.replace(b'"EUR"', b'"EUR","time_zone":"../etc/passwd"'), "$.time_zone"),
        (GOOD.replace(b"]}", b',{"id":"base","give":{"points":1,"per_minor":1}}]}'), "$.earn[1].id"),
        (GOOD.replace(b'"EUR"', b'"EUR","tiers":[{"id":"a"},{"id":"a"}]'), "$.tiers[1].id"),
        (GOOD.replace(b"]}", b'],"earn":[]}'), "the key 'earn' is written twice"),
        (GOOD.replace(b'"points":1', b'"points":1,"points":2'), "the key 'points' is written twice"),
        (GOOD.replace(b'"EUR"', b'"euro"'), "such as EUR - at `$.currency`"),
    ],
)
def test_a_wrong_program_is_refused_with_its_path(document: bytes, says: str) -> None:
    with pytest.raises(ProgramError) as refused:
        program_from_json(document)

    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (b'"give":{"points":1,"brackets":[[1,1]]}', "$.earn[0].give: give either points"),
        (b'"give":{}', "$.earn[0].give: give either points"),
        (b'"give":{"brackets":[[1,1]],"per_minor":1}', "$.earn[0].give.per_minor"),
        (b'"give":{"brackets":[[2,1],[1,5]]}', "$.earn[0].give.brackets: list each threshold once"),
        (b'"give":{"points":1},"expires":"2027-02-30"', "$.earn[0].expires"),
        (b'"give":{"points":1},"expires":"P12M/end-of-week"', "$.earn[0].expires"),
        (b'"give":{"points":1},"pending":"P"', "such as P14D or P12M - at `$.earn[0].pending`"),
        (b'"give":{"points":1},"when":{"time_in":[["7:00","9:00"]]}', "07:30 or 24:00 - at `$.earn[0].when.time_in"),
        (b'"give":{"points":1},"when":{"gtin_in":["12"]}', "13 or 14 digits - at `$.earn[0].when.gtin_in[0]`"),
        (b'"give":{"points":1},"when":{"sku_in":[" "]}', "not empty - at `$.earn[0].when.sku_in[0]`"),
        (b'"give":{"points":1},"when":{}', "$.earn[0].when: a condition that asks nothing"),
        (b'"give":{"points":1},"when":{"any":[{"not":{}}]}', "$.earn[0].when.any[0].not: a condition that asks"),
        (b'"give":{"points":1},"when":{"all":[{}]}', "$.earn[0].when.all[0]: a condition that asks nothing"),
        (
            b'"give":{"points":1},"when":{"time_in":[["24:00","10:00"]]}',
            ".time_in: 24:00 to 10:00 is no span of the day",
        ),
        (b'"give":{"points":1},"when":' + b'{"any":[' * 8 + b'{"first_purchase":true}' + b"]}" * 8, "write it flatter"),
        (b'"give":{"points":1},"when":{"moon_in":["full"]}', "moon_in"),
        (b'"give":{"points":1},"when":{"weekday_in":[0]}', "$.earn[0].when.weekday_in[0]"),
        (b'"give":{"points":1},"when":{"time_in":[["09:00","09:00"]]}', "$.earn[0].when.time_in"),
        (b'"give":{"points":1},"when":' + b'{"not":' * 8 + b'{"first_purchase":true}' + b"}" * 8, "write it flatter"),
    ],
)
def test_a_wrong_rule_is_refused_with_its_path(rule: bytes, says: str) -> None:
    with pytest.raises(ProgramError) as refused:
        program_from_json(GOOD.replace(b'"give":{"points":1,"per_minor":100}', rule))

    assert says in str(refused.value)


@pytest.mark.parametrize(("opens", "closes"), [(b'{"not":', b"}"), (b'{"any":[', b"]}")])
def test_a_condition_may_stand_in_seven_others(opens: bytes, closes: bytes) -> None:
    when = opens * (MAX_DEPTH - 1) + b'{"first_purchase":true}' + closes * (MAX_DEPTH - 1)

    assert program_from_json(GOOD.replace(b'"give"', b'"when":' + when + b',"give"')).earn[0].when


def test_a_tier_by_hand_hides_no_wrong_one_behind_it() -> None:
    tiers = b'"tiers":[{"id":"friend"},{"id":"b","from":{"at_least":1}}]'

    with pytest.raises(ProgramError, match=r"\$\.tiers\[1\]\.from: give one of"):
        program_from_json(GOOD.replace(b'"program"', tiers + b',"program"'))


@pytest.mark.parametrize(
    ("threshold", "says"),
    [
        (b'{"at_least":1}', "$.tiers[1].from: give one of"),
        (b'{"at_least":1,"points_in":"P1M","spend_in":"P1M"}', "$.tiers[1].from: give one of"),
        (b'{"at_least":500,"points_in":"P1Y"}', "$.tiers[1].from.at_least: not above a tier before it"),
    ],
)
def test_a_tier_that_cannot_be_reached_is_refused(threshold: bytes, says: str) -> None:
    tiers = b'"tiers":[{"id":"a","from":{"points_in":"P1Y","at_least":500}},{"id":"b","from":' + threshold + b"}]"

    with pytest.raises(ProgramError) as refused:
        program_from_json(GOOD.replace(b'"program"', tiers + b',"program"'))

    assert says in str(refused.value)


def test_rewards_have_their_place() -> None:
    reward = b'"rewards":[{"id":"r5","cost":500,"discount_minor":500,"offline":"floor","floor_points":200}]'

    program = program_from_json(GOOD.replace(b'"program"', reward + b',"program"'))

    assert program.rewards[0].floor_points == 200


def test_the_published_schema_is_the_one_in_force() -> None:
    published = Path(__file__).parents[2] / "docs" / "program.schema.json"

    assert published.read_bytes() == program_schema()


@pytest.mark.parametrize("name", ["goodwill", "base/corrected", "base/voided", "a/returned/2", "stamps/1"])
def test_a_rule_is_not_called_like_an_entry_of_the_ledgers_own(name: str) -> None:
    with pytest.raises(ProgramError, match=r"\$\.earn\[0\]\.id: .*call the rule something else"):
        program_from_json(GOOD.replace(b'"id":"base"', f'"id":"{name}"'.encode()))
