"""Past receipts replayed under programs: the sums, who gains and who loses, and where the receipts come from."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import UNSET
from msgspec.structs import replace
from PIL import Image
from typer.testing import CliRunner

from central import operations, review, simulation
from central.cli import app
from central.past_receipts import Limits, ReceiptsFileError, receipts_of_centre, receipts_of_file
from central.simulation import History, Replay, Simulation
from loyalty.member import MemberState
from loyalty.program import Program, program_from_json, program_json
from loyalty.receipt import Line, Original, Receipt
from tests.central.conftest import PROGRAM, RunningCentre, everything_in
from tests.central.till import NOON, receipt, returned


def program(*rules: dict[str, Any], **facts: Any) -> Program:
    whole = {"program": "p", "currency": "RSD", "time_zone": "Europe/Belgrade", "earn": rules} | facts
    return program_from_json(json.dumps(whole).encode())


ONE_IN_TEN = program({"id": "base", "give": {"points": 1, "per_minor": 1000}})
TWICE_FROM_100 = program(
    {"id": "base", "give": {"points": 2, "per_minor": 1000}, "min_basis_minor": 100_00},
    {"id": "big", "give": {"brackets": [[200_00, 7]]}},
    tiers=[{"id": "gold", "from": {"spend_in": "P12M", "at_least": 200_00}}],
)


def history(name: str, *receipts: Receipt) -> History:
    return History(name=name, state=MemberState(code=name), receipts=receipts)


def replayed(*histories: History, programs: tuple[Program, ...], value: str = "") -> Simulation:
    replay = Replay(programs)
    replay.take(histories)
    return replay.result(
        point_value=Decimal(value) if value else None, without_member=0, left_out=0, seconds=Decimal("0.5")
    )


def test_the_sums_of_one_program_are_by_rule_by_month_and_by_tier() -> None:
    sold = receipt(1, 200_00)
    december = receipt(2, 100_00, issued_at=NOON.replace(month=12))
    result = replayed(
        history("a", sold, december, returned(3, sold)), history("b", receipt(4, 50_00)), programs=(TWICE_FROM_100,)
    )
    [outcome] = result.outcomes
    assert (outcome.given, outcome.taken_back, outcome.points) == (40 + 7 + 20, 47, 20)
    assert outcome.by_rule == {"base": 20, "big": 0}
    assert outcome.by_month == {"2026-11": 0, "2026-12": 20}
    assert [(one.tier, one.members, one.points) for one in outcome.by_tier] == [("", 2, 20)]
    assert (outcome.members, outcome.waiting, outcome.cost_minor) == (1, 0, None)
    assert (result.receipts, result.members, result.comparison) == (4, 2, None)
    assert (str(result.first), str(result.last), result.receipts_per_s) == ("2026-11-22", "2026-12-22", 8)


def test_tiers_are_those_at_the_end() -> None:
    [outcome] = replayed(
        history("a", receipt(1, 200_00)), history("b", receipt(2)), programs=(TWICE_FROM_100,)
    ).outcomes
    assert [(one.tier, one.members, one.points) for one in outcome.by_tier] == [("", 1, 20), ("gold", 1, 47)]


def test_a_cost_is_exact_and_rounded_once() -> None:
    sales = (history(str(number), receipt(number, 10_00)) for number in range(1, 4))
    [outcome] = replayed(*sales, programs=(ONE_IN_TEN,), value="0.5").outcomes
    assert (outcome.points, outcome.cost_minor) == (3, 2)  # 1.5, half up


def test_what_comes_back_is_of_the_rule_with_the_longest_name() -> None:
    give = {"points": 1, "per_minor": 1000}
    two = program({"id": "a", "give": give}, {"id": "a/b", "give": give | {"points": 2}})
    sold = receipt(1, 100_00)
    # An exchange: the bread goes back, milk comes in its place.
    swapped = receipt(
        2,
        0,
        kind="exchange",
        lines=(Line(position=1, amount_minor=-100_00), Line(position=2, amount_minor=100_00)),
        original=Original(number=sold.number),
    )

    [outcome] = replayed(history("m", sold, swapped), programs=(two,)).outcomes

    assert outcome.by_rule == {"a": 10, "a/b": 20}


def test_what_a_program_does_not_look_at_is_counted() -> None:
    lost = returned(9, receipt(8))
    result = replayed(history("a", receipt(1, currency="EUR"), lost, receipt(2)), programs=(ONE_IN_TEN,))
    [outcome] = result.outcomes
    assert (outcome.points, outcome.other_currency, outcome.waiting) == (10, 1, 1)
    undated = receipt(3, issued_at=UNSET, business_day=UNSET)
    [outcome] = replayed(history("a", undated), programs=(ONE_IN_TEN,)).outcomes
    assert outcome.by_month == {simulation.UNDATED: 10}


def test_who_gains_and_who_loses_against_the_other_program() -> None:
    result = replayed(
        history("gains most", receipt(1, 200_00)),
        history("gains", receipt(2, 100_00)),
        history("loses", receipt(3, 50_00)),
        history("same", receipt(4, 5_00)),
        programs=(TWICE_FROM_100, ONE_IN_TEN),
    )
    compared = result.comparison
    assert compared is not None
    assert (compared.gain.members, compared.gain.points) == (2, 27 + 10)
    assert [(one.member, one.points, one.against) for one in compared.gain.largest] == [
        ("gains most", 47, 20),
        ("gains", 20, 10),
    ]
    assert [(one.member, one.points, one.against) for one in compared.lose.largest] == [("loses", 0, 5)]
    assert compared.same == 1
    assert {name: members for name, members in compared.classes if members} == {
        "-1 to -9": 1,
        "0": 1,
        "+10 to +99": 2,
    }


def test_only_the_largest_are_named() -> None:
    count = simulation.LARGEST + 5
    result = replayed(
        *(history(f"m{number:02}", receipt(number, number * 100_00)) for number in range(1, count + 1)),
        programs=(TWICE_FROM_100, ONE_IN_TEN),
    )
    assert result.comparison is not None
    gain = result.comparison.gain
    assert gain.members == count
    assert [one.member for one in gain.largest] == [f"m{number:02}" for number in range(count, 5, -1)]


# ---- where the receipts come from


async def test_the_centres_receipts_are_replayed_as_the_ledger_has_them_and_nothing_is_written(
    centre: RunningCentre,
) -> None:
    # Given members of which one has a tier by hand, a return without its card, and a receipt of nobody
    till = await centre.till()
    sold = receipt(1, 100_00, code="TS-0001")
    await till.sell(sold, receipt(2, 200_00, code="TS0002"), receipt(3, 50_00, code="TS0002"), receipt(4, 70_00))
    await till.sell(returned(5, sold, -40_00))
    before = centre.read(everything_in)
    # When they are replayed under the program in force, a member at a time
    past = receipts_of_centre(centre.database, Limits(members_per_read=1))
    replay = Replay((PROGRAM,))
    replay.take(past)
    result = replay.result(point_value=None, without_member=past.without_member, left_out=0, seconds=Decimal(1))
    # Then points are those of the ledger
    [outcome] = result.outcomes
    assert outcome.points == centre.points("m1") + centre.points("m2") == 6 + 37
    assert (result.members, result.without_member) == (2, 2)
    assert {one.tier: one.points for one in outcome.by_tier} == {"": 6, "gold": 37}
    # And the database holds what it held
    assert centre.read(everything_in) == before


async def test_what_is_known_of_members_counts(centre: RunningCentre) -> None:
    # Given members with a month of birth and a segment
    document = msgspec.json.encode(
        {"members": [{"member": "m1", "birth_month": 11}, {"member": "m2", "segments": ["vip"]}]}
    )
    centre.write(lambda connection: operations.import_file(connection, document, NOON))
    till = await centre.till()
    await till.sell(receipt(1, code="TS-0001"), receipt(2, code="TS0002"))
    # When rules ask for them
    asking = program(
        {"id": "birthday", "give": {"points": 5}, "when": {"birthday_month": True}},
        {"id": "vip", "give": {"points": 7}, "when": {"segment_in": ["vip"]}},
    )
    replay = Replay((asking,))
    replay.take(receipts_of_centre(centre.database))
    # Then they give
    result = replay.result(point_value=None, without_member=0, left_out=0, seconds=Decimal(1))
    assert result.outcomes[0].by_rule == {"birthday": 5, "vip": 7}


async def test_receipts_are_replayed_at_the_times_at_which_they_count(centre: RunningCentre) -> None:
    # given one that tells no time but when it was captured, one whose time cannot be, and one whose time a person set
    till = await centre.till()
    captured = receipt(3, issued_at=UNSET, captured_at=NOON - timedelta(days=2), code="TS0001")
    impossible, timed = (receipt(n, code="TS0001", issued_at=NOON.replace(year=2006)) for n in (4, 5))
    await till.sell(captured, receipt(6, issued_at=NOON - timedelta(days=1), code="TS0001"), impossible, timed)
    centre.write(lambda c: review.accept(c, timed.key, NOON - timedelta(days=3), NOON))

    [one] = receipts_of_centre(centre.database)
    assert [each.number for each in one.receipts] == ["5", "3", "6"]


def test_a_file_names_members_by_their_order(tmp_path: Path) -> None:
    document = _file(receipt(1, code="TS-1"), receipt(2, code="ts 2"), receipt(3, code="TS1"), receipt(4))
    past = receipts_of_file(document)
    assert [(one.name, len(one.receipts)) for one in past] == [("member 1", 2), ("member 2", 1)]
    assert past.without_member == 1
    for wrong, words in ((b"{", "tillside decode"), (b'{"receipts":[{"key":"k"}]}', "receipt number 1")):
        with pytest.raises(ReceiptsFileError, match=words):
            receipts_of_file(wrong)


def test_a_file_and_a_members_receipts_have_limits() -> None:
    document = _file(*(receipt(number, code="TS-1") for number in range(1, 6)))
    past = receipts_of_file(document, Limits(receipts_of_member=3))
    assert [len(one.receipts) for one in past] == [3]
    assert past.left_out == 2
    with pytest.raises(ReceiptsFileError, match="in parts"):
        receipts_of_file(document, Limits(file_bytes=10))


def _file(*receipts: Receipt) -> bytes:
    return msgspec.json.encode({"receipts": receipts})


# ---- the command


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    named = {"one.json": program_json(ONE_IN_TEN), "two.json": program_json(replace(TWICE_FROM_100, program="new"))}
    named["receipts.json"] = _file(receipt(1, 200_00, code="TS-1"), receipt(2, 50_00, code="TS-2"))
    for name, document in named.items():
        (tmp_path / name).write_bytes(document)
    return {name: str(tmp_path / name) for name in named}


def simulated(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["program", "simulate", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_the_command_prints_tables_json_and_pictures(files: dict[str, str], tmp_path: Path) -> None:
    compared = ("--program", files["two.json"], "--program", files["one.json"], "--receipts", files["receipts.json"])
    png, svg = tmp_path / "plot.png", tmp_path / "plot.svg"

    code, text = simulated(*compared, "--point-value", "1", "--plot", str(png))
    assert code == 0
    assert "2 receipts of 2 members" in text
    assert "0.47 RSD" in text
    assert "1 members gain 27, 1 lose 5, 0 have the same" in " ".join(text.split())
    with Image.open(png) as picture:
        colours = picture.convert("RGB").getcolors(maxcolors=picture.width * picture.height)
    assert colours is not None
    assert {(11, 110, 79), (217, 142, 4)} <= {colour for _, colour in colours}  # the bars of either program

    code, text = simulated(*compared, "--json", "--plot", str(svg))
    assert (code, json.loads(text)["comparison"]["gain"]["members"]) == (0, 1)
    assert ET.fromstring(svg.read_bytes()).tag.endswith("svg")

    # One program alone has no comparison, and its own picture
    code, text = simulated(*compared[2:], "--plot", str(png), "--json")
    assert (code, json.loads(text)["comparison"]) == (0, None)


def test_without_a_second_program_the_one_in_force_is_compared_with(files: dict[str, str], data: Path) -> None:
    code, text = simulated(
        "--program", files["two.json"], "--data", str(data), "--receipts", files["receipts.json"], "--json"
    )
    assert (code, [one["program"] for one in json.loads(text)["outcomes"]]) == (0, ["new", "test"])
    code, text = simulated("--program", files["two.json"], "--data", str(data))
    assert (code, text.startswith("0 receipts of 0 members")) == (0, True)


def test_what_cannot_be_simulated_says_what_to_do(files: dict[str, str], tmp_path: Path) -> None:
    one = ("--program", files["one.json"])
    some = (*one, "--receipts", files["receipts.json"])
    wrong = [
        (one, "--data"),
        ((*one, *one, *some), "give one program"),
        ((*some, "--plot", "plot.gif"), ".png or .svg"),
        ((*some, "--point-value", "-1"), "0.5"),
        ((*some, "--point-value", "much"), "0.5"),
        ((*some, "--plot", str(tmp_path / "nowhere" / "plot.png")), "cannot be written"),
    ]
    for arguments, words in wrong:
        code, text = simulated(*arguments)
        assert (code, words in text) == (2, True), (arguments, text)
    code, text = simulated(*one, "--receipts", files["one.json"])
    assert (code, "tillside decode" in text) == (1, True)
    code, text = simulated("--program", files["receipts.json"], "--receipts", files["receipts.json"])
    assert code == 1
