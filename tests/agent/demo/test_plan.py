"""The planned shift, and its expected answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

from msgspec import UNSET

from agent.demo.plan import SPENT, Step, expected_entries, plan_shift
from agent.demo.pos import Article, Item
from agent.demo.shop import NEW_CARD, REWARD_POINTS, sample_items, sample_members, sample_program, sample_rules
from central.rules_file import config_from_file
from drivers.scanning.scan import parse_scan
from loyalty.account import Account
from loyalty.item_map_file import item_map_from_file
from loyalty.item_matching import ItemMatcher, mapped
from loyalty.member import MemberState
from loyalty.program import program_from_json
from loyalty.receipt import Line, Original, Receipt

MEMBERS = sample_members()
SHIFT = plan_shift(MEMBERS)
GIVEN = expected_entries(SHIFT.steps, MEMBERS, SHIFT.new_member)


def test_the_shift_has_everything_that_happens_in_a_shop() -> None:
    steps = SHIFT.steps

    assert sum(step.is_transaction for step in steps) >= 60
    assert {step.kind for step in steps} == {"sale", "return", "reprint", "copy", "card_slip"}
    assert {step.register for step in steps if step.card == NEW_CARD} == {1, 2}
    assert any(step.first_card for step in steps)
    assert any(step.card is None for step in steps if step.kind == "sale")


def test_a_return_happens_at_the_other_register_while_its_sale_cannot_be_synced() -> None:
    cut_off = {step.name: step for phase in SHIFT.phases if phase.event == "cut" for step in phase.steps}
    (back,) = [step for phase in SHIFT.phases if phase.event == "refund_elsewhere" for step in phase.steps if step.of]

    assert back.register == 1
    assert cut_off[back.of or ""].register == 2


def test_the_same_seed_gives_the_same_shift_and_another_one_another() -> None:
    assert plan_shift(MEMBERS) == SHIFT
    assert plan_shift(MEMBERS, seed=1) != SHIFT


def test_the_terms_and_the_program_agree_on_every_member() -> None:
    # Two ways to the same answer: the terms in fractions, and the program in integers.
    program = program_from_json(sample_program())
    goods = ItemMatcher(item_map_from_file(sample_items()).item_map)
    members = {member.card: member for member in MEMBERS}
    members[NEW_CARD] = next(member for member in MEMBERS if member.member == SHIFT.new_member)
    accounts = {member.member: Account(program, MemberState(code=member.card, tier=member.tier)) for member in MEMBERS}
    card_of = {step.name: step.card for step in SHIFT.steps if step.kind == "sale"}

    for number, step in enumerate(SHIFT.steps):
        card = card_of[step.of or ""] if step.kind == "return" else step.card
        if step.is_transaction and card is not None:
            accounts[members[card].member].add(mapped(receipt_of(step, number), goods))

    assert {
        (entry.receipt, member, entry.rule, entry.points)
        for member, account in accounts.items()
        for entry in account.entries
        if entry.points
    } == {(given.step, given.member, given.rule, given.points) for given in GIVEN if given.rule != SPENT}


def test_a_return_of_the_same_second_waits_for_its_sale() -> None:
    sale = next(step for step in SHIFT.steps if step.kind == "sale" and step.card is not None)
    back = Step(name="back", register=1, kind="return", items=sale.items, of=sale.name)

    given = expected_entries([back, sale], MEMBERS, SHIFT.new_member)

    assert {each.step for each in given} == {sale.name, "back"}
    assert sum(each.points for each in given) == 0


def test_everything_that_the_terms_speak_of_happens() -> None:
    given = {given.rule for given in GIVEN if given.points > 0}
    taken = {given.rule for given in GIVEN if given.points < 0}

    assert given == {"base", "kept", "basket", "coffee"}
    assert taken == given | {SPENT}
    returns = {step.of: step.total_minor for step in SHIFT.steps if step.kind == "return"}
    parts = {Fraction(returns[step.name], step.total_minor) < 1 for step in SHIFT.steps if step.name in returns}
    assert parts == {True, False}


def receipt_of(step: Step, number: int) -> Receipt:
    sign = -1 if step.kind == "return" else 1
    return Receipt(
        key=step.name,
        kind="return" if step.kind == "return" else "sale",
        currency="RSD",
        total_minor=sign * step.total_minor,
        issued_at=datetime(2026, 11, 28, 9, tzinfo=UTC) + timedelta(minutes=number),
        lines=tuple(
            Line(
                position=place,
                kind="goods",
                description=item.article.name,
                quantity=f"{item.thousandths / 1000:.3f}",
                amount_minor=sign * item.amount_minor,
            )
            for place, item in enumerate(step.items, 1)
        ),
        original=Original(key=step.of) if step.of else UNSET,
    )


def test_who_wants_a_reward_has_the_points_for_one_and_not_for_two() -> None:
    [redeemer] = {member.member for member in MEMBERS if member.card == SHIFT.redeemer}
    had = [given.points for given in GIVEN if given.member == redeemer and given.rule not in (SPENT, "kept")]
    spent = [given.points for given in GIVEN if given.member == redeemer and given.rule == SPENT]

    assert spent == [-REWARD_POINTS]
    assert REWARD_POINTS <= sum(had) < 2 * REWARD_POINTS


def test_a_weighed_article_costs_its_part() -> None:
    assert Item(article=Article(name="Jabuka", price_minor=12_999, unit="KG"), thousandths=1_482).amount_minor == 19_265


def test_the_shops_one_rule_knows_all_its_cards_and_the_new_one() -> None:
    rules = config_from_file(sample_rules()).identification

    for code in (*(member.card for member in MEMBERS), NEW_CARD):
        member = parse_scan(f"]C0{code}", rules).member
        assert member is not None
        assert (member.code, member.claimed) == (code, True)
