"""What entries are called: names that undo something lead back to the rule that gave it."""

from __future__ import annotations

import pytest

from loyalty.entry_rules import GOODWILL, corrected_rule, giving_rule, is_reserved, numbered


@pytest.mark.parametrize(
    ("name", "gave", "corrects"),
    [
        ("base", "base", "base"),
        ("base/returned", "base", "base/returned"),
        ("base/voided", "base", "base"),
        ("coffee/1", "coffee", "coffee/1"),
        ("coffee/returned/2", "coffee", "coffee/returned/2"),
        ("coffee/returned/2/corrected", "coffee", "coffee/returned/2"),
        ("base/returned/corrected/2", "base", "base/returned"),
        ("goodwill/returned", GOODWILL, "goodwill/returned"),
        # a name with a slash of its own
        ("fresh/fruit", "fresh/fruit", "fresh/fruit"),
        ("fresh/fruit/corrected", "fresh/fruit", "fresh/fruit"),
        ("returned", "returned", "returned"),
        ("base/1st", "base/1st", "base/1st"),
    ],
)
def test_a_name_leads_back_to_what_gave_and_to_what_it_corrects(name: str, gave: str, corrects: str) -> None:
    assert giving_rule(name) == gave
    assert corrected_rule(name) == corrects


def test_no_rule_of_a_program_is_called_like_what_undoes_one() -> None:
    assert [name for name in ("base", "goodwill-week", "a/b", GOODWILL, "a/1", "a/voided/2") if is_reserved(name)] == [
        GOODWILL,
        "a/1",
        "a/voided/2",
    ]


def test_several_that_undo_one_rule_are_numbered_after_the_first() -> None:
    assert [numbered("coffee", number) for number in range(3)] == ["coffee", "coffee/1", "coffee/2"]
