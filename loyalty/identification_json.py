"""Identification rules in JSON and TOML, by the names of their fields.

Owns their reading and writing with the standard library alone, for the relay's sake. Never accepts what has not
the shape of a rule.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, get_args

from loyalty.identification import MAX_RULES, CheckDigit, IdentificationRule, RuleKind
from loyalty.identification_checks import RuleProblem, RulesError, rule_problems

# All rules in JSON: as many as there may be, each ten times as long as one usually is.
MAX_JSON_BYTES = 512 * 1024


def rules_from_json(data: bytes) -> tuple[IdentificationRule, ...]:
    """Rules of the document `{"rules": […]}`. Raises RulesError for what cannot be read or used."""
    rules = rules_from_documents(_listed(data))
    serious = [problem for problem in rule_problems(rules) if problem.serious]
    if serious:
        raise RulesError(serious)
    return rules


def rules_json(rules: Sequence[IdentificationRule]) -> bytes:
    """`rules` as the document `{"rules": […]}`."""
    return json.dumps({"rules": rule_documents(rules)}, ensure_ascii=False).encode()


def rules_from_documents(documents: object) -> tuple[IdentificationRule, ...]:
    """Rules of a list of JSON objects or TOML tables.

    Raises RulesError for what has not the shape of rules. What they say, `rule_problems` checks.
    """
    if not isinstance(documents, list):
        raise RulesError((_of_all("are no list", "write a list of rules"),))
    if len(documents) > MAX_RULES:
        raise RulesError((_of_all(f"are more than {MAX_RULES}", "put one kind of card into one rule"),))
    problems = [problem for index, document in enumerate(documents) for problem in _shape_problems(index, document)]
    if problems:
        raise RulesError(problems)
    return tuple(
        IdentificationRule(**{key: _FIELDS[key].made(value) for key, value in document.items()})
        for document in documents
    )


def rule_documents(rules: Sequence[IdentificationRule]) -> list[dict[str, object]]:
    """A JSON object for each rule, without what has its default."""
    plain = IdentificationRule(name="")
    return [
        {
            field.name: _lists(getattr(rule, field.name))
            for field in fields(rule)
            if field.name == "name" or getattr(rule, field.name) != getattr(plain, field.name)
        }
        for rule in rules
    ]


def _listed(data: bytes) -> object:
    try:
        if len(data) > MAX_JSON_BYTES:
            raise ValueError
        document = json.loads(data, object_pairs_hook=_unrepeated)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or set(document) != {"rules"}:
        raise RulesError((_of_all('are not written as {"rules": […]}', "have the agent write them again"),))
    return document["rules"]


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        raise ValueError
    return document


def _of_all(problem: str, remedy: str) -> RuleProblem:
    return RuleProblem(index=None, name="", field="", problem=problem, remedy=remedy)


# The shape of a rule


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """What may stand for a field in JSON, how to write it, and how the field is made of it."""

    fits: Callable[[object], bool]
    example: str
    made: Callable[[Any], Any] = lambda value: value


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_text, value))


def _text(example: str) -> _Field:
    return _Field(fits=_is_text, example=f'a text in quotes, such as "{example}"')


def _number() -> _Field:
    return _Field(fits=_is_number, example="a whole number")


def _one_of(values: tuple[str, ...]) -> _Field:
    return _Field(fits=lambda value: isinstance(value, str) and value in values, example=f"one of {', '.join(values)}")


def _list_of(fits: Callable[[object], bool], example: str) -> _Field:
    return _Field(
        fits=lambda value: isinstance(value, list) and all(map(fits, value)),
        example=f"a list such as {example}",
        made=_tuples,
    )


def _tuples(value: object) -> object:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _lists(value: object) -> object:
    return list(map(_lists, value)) if isinstance(value, tuple) else value


_FIELDS: Mapping[str, _Field] = {
    "name": _text("club card"),
    "kind": _one_of(get_args(RuleKind)),
    "symbologies": _list_of(_is_text, '["ean13", "code128"]'),
    "ai": _text("8018"),
    "prefixes": _list_of(_is_text, '["29"]'),
    "ranges": _list_of(_is_pair, '[["9000", "9099"]]'),
    "lengths": _list_of(_is_number, "[13]"),
    "check_digit": _one_of(get_args(CheckDigit)),
    "pattern": _text("https://club.example/m/{code}"),
    "drop_leading": _number(),
    "drop_trailing": _number(),
    "add_leading": _text("C"),
    "to_pos": _Field(fits=lambda value: isinstance(value, bool), example="true or false"),
}


def _shape_problems(index: int, document: object) -> Iterator[RuleProblem]:
    if not isinstance(document, dict):
        yield RuleProblem(index=index, name="", field="", problem="is no table", remedy="write its fields")
        return
    name = document["name"] if isinstance(document.get("name"), str) else ""

    def wrong(field: object, problem: str, remedy: str) -> RuleProblem:
        return RuleProblem(index=index, name=name, field=str(field), problem=problem, remedy=remedy)

    if "name" not in document:
        yield wrong("name", "is missing", 'write one such as "club card"')
    for key, value in document.items():
        field = _FIELDS.get(key)
        if field is None:
            yield wrong(key, "is no field of a rule", f"known are {', '.join(_FIELDS)}")
        elif not field.fits(value):
            yield wrong(key, "has not the right type", f"write {field.example}")
