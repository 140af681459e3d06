"""The planned shift, and its expected answer."""

from __future__ import annotations

from datetime import UTC, datetime

from agent.demo.plan import expected_entries, plan_shift
from agent.demo.pos import Article, Item
from agent.demo.shop import NEW_CARD, sample_members, sample_program, sample_rules
from central.rules_file import config_from_file
from drivers.scanning.scan import parse_scan
from loyalty.evaluate import evaluate
from loyalty.program import program_from_json
from loyalty.purchase import Known
from loyalty.receipt import Receipt

MEMBERS = sample_members()
SHIFT = plan_shift(MEMBERS)


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


def test_the_fractions_and_the_evaluator_agree_on_every_sale() -> None:
    # Two ways to the same answer: the terms in fractions, and the program in integers.
    program = program_from_json(sample_program())
    tiers = {member.card: member.tier for member in MEMBERS}
    tiers[NEW_CARD] = next(member.tier for member in MEMBERS if member.member == SHIFT.new_member)
    given = expected_entries(SHIFT.steps, MEMBERS, SHIFT.new_member)
    for step in SHIFT.steps:
        if step.kind != "sale" or step.card is None:
            continue
        receipt = Receipt(
            key=step.name, kind="sale", currency="RSD", total_minor=step.total_minor, issued_at=datetime.now(UTC)
        )
        entries = evaluate(receipt, known=Known(tier=tiers[step.card] or ""), program=program)

        assert [(entry.rule, entry.points) for entry in entries] == [
            (entry.rule, entry.points) for entry in given if entry.step == step.name
        ]


def test_a_weighed_article_costs_its_part() -> None:
    assert Item(article=Article(name="Jabuka", price_minor=12_999, unit="KG"), thousandths=1_482).amount_minor == 19_265


def test_the_shops_one_rule_knows_all_its_cards_and_the_new_one() -> None:
    rules = config_from_file(sample_rules()).identification

    for code in (*(member.card for member in MEMBERS), NEW_CARD):
        member = parse_scan(f"]C0{code}", rules).member
        assert member is not None
        assert (member.code, member.claimed) == (code, True)
