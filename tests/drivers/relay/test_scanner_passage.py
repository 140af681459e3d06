"""Every byte of a shared scanner reaches the POS once and in order, but for whole codes that are a member's."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from drivers.relay.clock import Moment
from drivers.relay.scanner_passage import HOLD_MS, Heard, Passed, ScannerPassage, Step, Verdict, Withheld
from drivers.scanning.framing import IDLE_MS

GOODS = b"]E04006381333931"
MEMBER = b"]C0M001234"
GUESS = b"]C0X9"


def moment(ms: float = 0) -> Moment:
    start = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
    return Moment(wall=start + timedelta(milliseconds=ms), monotonic_ns=5_000_000_000 + round(ms * 1_000_000))


def judge(code: bytes) -> Verdict:
    """A rule claims what begins with M after its AIM identifier; goods are goods; the rest is a guess."""
    if code.startswith(b"]E0"):
        return Verdict()
    return Verdict(keep=code, withhold=code.startswith(b"]C0M"))


def scanner(
    *, suffix: bytes | None = None, prefix: bytes = b"", max_bytes: int = 200, withholds: bool = True
) -> ScannerPassage:
    return ScannerPassage(
        judge=judge, may_withhold=lambda: withholds, suffix=suffix, prefix=prefix, max_bytes=max_bytes
    )


def passed(steps: Iterable[Step]) -> bytes:
    return b"".join(step.data for step in steps if isinstance(step, Passed))


def withheld(steps: Iterable[Step]) -> bytes:
    return b"".join(step.data for step in steps if isinstance(step, Withheld))


def heard(steps: Iterable[Step]) -> list[bytes]:
    return [step.data for step in steps if isinstance(step, Heard)]


def everything(steps: Iterable[Step]) -> bytes:
    return b"".join(step.data for step in steps if not isinstance(step, Heard))


@pytest.mark.parametrize("ending", [b"\r", b"\n", b"\r\n", b"\t"])
def test_goods_pass_and_a_members_code_is_withheld_with_its_suffix(ending: bytes) -> None:
    passage = scanner()

    steps = passage.feed(GOODS + ending + MEMBER + ending + GOODS + ending, moment(3))

    assert passed(steps) == GOODS + ending + GOODS + ending
    assert withheld(steps) == MEMBER + ending
    (code,) = [step for step in steps if isinstance(step, Heard)]
    assert (code.data, code.at, code.ended_by) == (MEMBER, moment(3), "suffix")


def test_a_guess_goes_to_both() -> None:
    steps = scanner().feed(GUESS + b"\r", moment())

    assert passed(steps) == GUESS + b"\r"
    assert heard(steps) == [GUESS]


def test_a_line_feed_that_comes_after_the_carriage_return_goes_where_the_code_went() -> None:
    passage = scanner()
    steps = passage.feed(MEMBER + b"\r", moment()) + passage.feed(b"\n", moment(2))
    steps += passage.feed(GOODS + b"\r", moment(100)) + passage.feed(b"\n", moment(102))

    assert withheld(steps) == MEMBER + b"\r\n"
    assert passed(steps) == GOODS + b"\r\n"
    assert passage.due_at_ns is None, "nothing is held"


def test_a_line_end_long_after_a_withheld_code_is_the_poss() -> None:
    passage = scanner()
    passage.feed(MEMBER + b"\r", moment())

    steps = passage.feed(b"\r", moment(HOLD_MS)) + passage.idle(moment(2 * HOLD_MS))

    assert passed(steps) == b"\r"


def test_line_ends_before_a_code_go_where_the_code_goes() -> None:
    passage = scanner()

    assert passed(passage.feed(b"\t", moment()) + passage.feed(GOODS + b"\r", moment(1))) == b"\t" + GOODS + b"\r"
    assert everything(passage.feed(b"\t" + MEMBER + b"\r", moment(500))) == b"\t" + MEMBER + b"\r"
    assert passed(passage.feed(b"\t", moment(900))) == b""


def test_what_has_no_suffix_yet_is_let_go_in_time_and_its_rest_follows_at_once() -> None:
    passage = scanner()
    first = passage.feed(GOODS[:5], moment())
    assert first == []
    assert passage.due_at_ns == moment(HOLD_MS).monotonic_ns
    assert passage.idle(moment(HOLD_MS - 1)) == []

    silent = passage.idle(moment(HOLD_MS))
    rest = passage.feed(GOODS[5:8], moment(HOLD_MS + 1))
    end = passage.feed(GOODS[8:] + b"\r", moment(HOLD_MS + 2))

    assert (passed(silent), passed(rest), passed(end)) == (GOODS[:5], GOODS[5:8], GOODS[8:] + b"\r")
    assert len({step.code for step in silent + rest + end if isinstance(step, Passed)}) == 1


def test_a_members_code_whose_beginning_was_let_go_reaches_the_pos_whole_and_the_agent_too() -> None:
    passage = scanner()

    steps = passage.feed(MEMBER[:4], moment()) + passage.idle(moment(20))
    steps += passage.feed(MEMBER[4:] + b"\r\n", moment(25))

    assert passed(steps) == MEMBER + b"\r\n", "never half a code"
    assert heard(steps) == [MEMBER]
    assert passage.late == 1


def test_a_code_that_never_gets_its_suffix_is_no_part_of_the_next() -> None:
    passage = scanner()
    torn = passage.feed(MEMBER[:5], moment()) + passage.idle(moment(20))
    torn += passage.idle(moment(IDLE_MS))

    steps = passage.feed(MEMBER + b"\r", moment(IDLE_MS + 50))

    assert passed(torn) == MEMBER[:5]
    assert passage.unjudged == {"suffix_missing": 1}
    assert withheld(steps) == MEMBER + b"\r"


def test_without_a_suffix_silence_ends_a_code() -> None:
    passage = scanner(suffix=b"")
    assert passage.feed(MEMBER, moment()) == []
    member = passage.idle(moment(HOLD_MS))
    goods = passage.feed(GOODS, moment(100)) + passage.idle(moment(100 + HOLD_MS))

    assert withheld(member) == MEMBER
    assert [(step.data, step.at, step.ended_by) for step in member if isinstance(step, Heard)] == [
        (MEMBER, moment(), "silence")
    ]
    assert passed(goods) == GOODS


def test_a_suffix_of_several_bytes_may_come_in_pieces() -> None:
    passage = scanner(suffix=b"\x03\x04")

    steps = passage.feed(MEMBER + b"\x03", moment()) + passage.feed(b"\x04" + GOODS, moment(1))
    steps += passage.feed(b"\x03\x04", moment(2))

    assert withheld(steps) == MEMBER + b"\x03\x04"
    assert passed(steps) == GOODS + b"\x03\x04"


def test_a_prefix_is_no_part_of_the_code_and_what_lacks_it_passes() -> None:
    passage = scanner(prefix=b"\x02", suffix=b"\x03")

    steps = passage.feed(b"\x02" + MEMBER + b"\x03" + MEMBER + b"\x03", moment())

    assert heard(steps) == [MEMBER]
    assert passed(steps) == MEMBER + b"\x03"
    assert passage.unjudged == {"prefix_missing": 1}


@pytest.mark.parametrize("suffix", [None, b"\r\n", b"\x03\x04"])
def test_what_is_too_long_for_a_code_passes_and_the_next_one_is_a_code_again(suffix: bytes | None) -> None:
    passage = scanner(max_bytes=50, suffix=suffix)
    end = suffix or b"\r"
    stream = b"]C0M" + b"x" * 500

    steps = [step for at in range(0, len(stream), 60) for step in passage.feed(stream[at : at + 60], moment(at / 60))]
    assert passed(steps) == stream[: len(passed(steps))]
    steps += passage.feed(end[:1], moment(10)) + passage.feed(end[1:], moment(11))
    assert passed(steps) == stream + end
    assert heard(steps) == []
    assert passage.unjudged == {"too_long": 1}

    assert withheld(passage.feed(MEMBER + end, moment(200))) == MEMBER + end


def test_a_judge_that_fails_lets_everything_pass() -> None:
    def broken(code: bytes) -> Verdict:
        raise ZeroDivisionError

    passage = ScannerPassage(judge=broken, may_withhold=lambda: True)

    steps = passage.feed(MEMBER + b"\r" + GOODS + b"\r", moment())

    assert passed(steps) == MEMBER + b"\r" + GOODS + b"\r"
    assert (passage.unjudged, passage.fault) == ({"fault": 2}, "ZeroDivisionError")


def test_while_nothing_may_be_withheld_nothing_is_held() -> None:
    passage = scanner(withholds=False)

    gone = [passed(passage.feed(bytes((byte,)), moment(at))) for at, byte in enumerate(GUESS + b"\r")]

    assert b"".join(gone) == GUESS + b"\r"
    # but the first byte of an identifier, until the second tells that it is no QR code's
    assert [len(each) for each in gone] == [0, 2, *(1 for _ in gone[2:])]


def test_at_the_end_what_is_held_goes_to_the_pos() -> None:
    passage = scanner()
    passage.feed(MEMBER, moment())

    assert passed(passage.end()) == MEMBER
    assert passage.due_at_ns is None


# Any bytes, any split, any pauses


def codes(chance: random.Random) -> list[bytes]:
    kinds: list[Callable[[], bytes]] = [
        lambda: GOODS,
        lambda: b"]C0M%d" % chance.randrange(10**6),
        lambda: GUESS,
        lambda: chance.randbytes(chance.randrange(40)),
        lambda: b"]C0M" + b"y" * chance.randrange(190, 400),
        lambda: b"",
    ]
    return [chance.choice(kinds)() + chance.choice([b"\r", b"\n", b"\r\n", b"\t", b"\x03", b""]) for _ in range(30)]


def pieces(chance: random.Random, stream: bytes) -> Iterable[bytes]:
    cuts = sorted(chance.choices(range(len(stream) + 1), k=chance.randrange(1, 60)))
    return [stream[start:end] for start, end in pairwise([0, *cuts, len(stream)])]


def run(passage: ScannerPassage, chance: random.Random, parts: Iterable[bytes]) -> list[Step]:
    """Feeds `parts` with pauses; after each silence that is long enough nothing may be held."""
    steps: list[Step] = []
    now = 0.0
    fed = 0
    for part in parts:
        now += chance.choice([0, 0.5, 3, HOLD_MS - 1, HOLD_MS, 40, IDLE_MS + 1])
        if chance.random() < 0.5:
            steps += passage.idle(moment(now))
        steps += passage.feed(part, moment(now))
        fed += len(part)
        if chance.random() < 0.3:
            now += HOLD_MS
            steps += passage.idle(moment(now))
            assert len(everything(steps)) == fed, "nothing is held beyond its time"
    return steps + passage.end()


@pytest.mark.parametrize("seed", range(300))
def test_every_byte_comes_out_once_and_in_order(seed: int) -> None:
    print("seed", seed)
    chance = random.Random(seed)
    stream = b"".join(codes(chance))
    passage = scanner(suffix=chance.choice([None, b"\r", b"\r\n", b"\x03", b""]), prefix=chance.choice([b"", b"]"]))

    steps = run(passage, chance, pieces(chance, stream))

    assert everything(steps) == stream
    for step in steps:
        if isinstance(step, Withheld) and step.data.strip(b"\r\n\t"):
            assert b"]C0M" in step.data, "only what the judge claims is withheld"
    assert len(heard(steps)) >= sum(b"]C0M" in step.data for step in steps if isinstance(step, Withheld))
    numbers = [step.code for step in steps if isinstance(step, Passed)]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize("seed", range(100))
def test_when_no_rule_claims_anything_the_pos_gets_what_the_scanner_sent(seed: int) -> None:
    print("seed", seed)
    chance = random.Random(seed)
    stream = b"".join(codes(chance))
    passage = ScannerPassage(
        judge=lambda code: Verdict(keep=code if chance.random() < 0.5 else None),
        may_withhold=lambda: chance.random() < 0.5,
        suffix=chance.choice([None, b"\r", b"\x03", b""]),
        max_bytes=100,
    )

    assert passed(run(passage, chance, pieces(chance, stream))) == stream


@pytest.mark.parametrize("seed", range(50))
def test_how_a_burst_is_split_changes_nothing(seed: int) -> None:
    print("seed", seed)
    chance = random.Random(seed)
    stream = b"".join(code for code in codes(chance) if len(code) < 150)

    def outcome(parts: Sequence[bytes], between_ms: float) -> tuple[bytes, bytes, list[bytes]]:
        passage = scanner(max_bytes=20_000)
        steps = [step for at, part in enumerate(parts) for step in passage.feed(part, moment(at * between_ms))]
        steps += passage.end()
        return passed(steps), withheld(steps), heard(steps)

    whole = outcome([stream], 0)
    assert outcome(list(pieces(chance, stream)), 0) == whole
    assert outcome([stream[at : at + 1] for at in range(len(stream))], 0) == whole


def test_codes_are_judged_by_the_rules_of_that_moment() -> None:
    rules_are_there = False
    passage = ScannerPassage(
        judge=lambda code: judge(code) if rules_are_there else Verdict(), may_withhold=lambda: rules_are_there
    )

    before = passage.feed(MEMBER + b"\r", moment())
    rules_are_there = True
    after = passage.feed(MEMBER + b"\r", moment(100))

    assert (passed(before), withheld(after)) == (MEMBER + b"\r", MEMBER + b"\r")


ENROLMENT, GRANT = b"tillside-enrol:eyJ1cmwiOiJodHRwczovL2NlbnRyZSJ9", b"TILLSIDE-GRANT:G6VBF6AP4BK3"


@pytest.mark.parametrize("own", [ENROLMENT, GRANT])
@pytest.mark.parametrize("aim", [b"", b"]Q1"])
@pytest.mark.parametrize("prefix", [b"", b"#+"])
def test_a_code_of_the_registers_own_is_held_byte_by_byte_where_nothing_else_is(
    own: bytes, aim: bytes, prefix: bytes
) -> None:
    passage = ScannerPassage(
        judge=lambda code: Verdict(keep=code, withhold=own in code),
        may_withhold=lambda: False,
        prefix=prefix,
    )
    code = prefix + aim + own + b"\r"

    steps = [step for ms, byte in enumerate(code) for step in passage.feed(bytes([byte]), moment(ms))]

    assert passed(steps) == b""
    assert withheld(steps) == code
    assert heard(steps) == [aim + own]


@pytest.mark.parametrize("code", [b"7", b"ti7", b"]Q0tillside.example", b"]C1x", b"tillside-enrol7", b"TS1001"])
def test_what_only_began_like_one_goes_at_the_byte_that_tells(code: bytes) -> None:
    passage = scanner(withholds=False)

    steps = [step for ms, byte in enumerate(code) for step in passage.feed(bytes([byte]), moment(ms))]

    assert passed(steps) == code
