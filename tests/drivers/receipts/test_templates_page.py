"""`docs/templates.md` followed word by word: its captures, its proposal, its corrected template, its tables."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from drivers.receipts import learning, shapes, template
from drivers.receipts.decode import decode
from drivers.receipts.learning import learn
from drivers.receipts.port import DecodeOptions
from drivers.receipts.template import SHAPE_FIELDS, Template, template_from
from drivers.receipts.template_writing import template_text
from drivers.receipts.trial import papers_of, try_capture

PAGE = (Path(__file__).parents[3] / "docs" / "templates.md").read_text(encoding="utf-8")
CAPTURES = [text.encode() for text in re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)]
LEARNED, CORRECTED, SETTINGS, IGNORED = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
MODULES = {"learning": learning, "shapes": shapes, "template": template}


def rows(title: str) -> list[list[str]]:
    part = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("| `")
    ]


def test_the_proposal_is_what_is_learned() -> None:
    papers = [paper for capture in CAPTURES for paper in papers_of(capture, DecodeOptions())]
    learned = learn(papers, name="lipa")
    comment = "\n".join(["Learned from 3 receipts. docs/templates.md says how to correct it.", *learned.notes])

    assert template_text(learned.template, comment) == LEARNED
    assert all(receipt.holds for receipt in learned.receipts)
    for shown in re.findall(r"^ +(\w+) │ (.*)$", PAGE, re.MULTILINE):
        assert shown in [(line.role, line.text) for receipt in learned.receipts for line in receipt.lines]


def test_the_corrected_template_reads_everything() -> None:
    corrected = template_from(CORRECTED.encode(), "lipa.toml")
    for capture in CAPTURES:
        assert all(receipt.holds for receipt in try_capture("", capture, corrected, DecodeOptions()).receipts)
    (first,) = decode(CAPTURES[0], DecodeOptions(templates=(corrected,), time_zone="Europe/Warsaw")).receipts
    assert (first.source, first.store, first.register, first.number) == ("template:lipa", "4", "2", "10231")
    assert (first.operator, first.currency, first.total_minor, first.change_minor) == ("Ewa", "PLN", 2078, 2922)
    assert [line.discount_minor for line in first.lines] == [0, 42]
    (second,) = decode(CAPTURES[1], DecodeOptions(templates=(corrected,), time_zone="Europe/Warsaw")).receipts
    assert [tender.kind for tender in second.tenders] == ["card"]
    assert msgspec.toml.decode(SETTINGS)["receipts"][0]["template"] == "lipa.toml"


def test_the_titles_of_other_paper_go_into_a_template() -> None:
    titles = template_from(f"{CORRECTED}\n{IGNORED}".encode(), "lipa.toml").ignored
    assert titles.card_slip == ("Korttitosite",)


def test_without_a_template_it_is_not_read() -> None:
    assert decode(CAPTURES[0]).receipts == ()


def test_every_key_is_told() -> None:
    told: set[str] = set()
    for keys, _ in rows("What a template says"):
        table = ""
        for key in re.findall(r"`([a-z_.]+)`", keys):
            table = key.partition(".")[0] or table
            told.add(f"{table}.{key.partition('.')[2]}" if "." in key else key)
    wanted = set()
    for name in Template.__struct_fields__:
        part = getattr(Template(name="a"), name)
        inner = (
            part.__struct_fields__ if isinstance(part, msgspec.Struct) and not isinstance(part, template.Sum) else ()
        )
        wanted |= {f"{name}.{key}" for key in inner} or {name}
    assert told == wanted


def test_every_field_is_told() -> None:
    told = {
        table: set(re.findall(r"`(\w+)`", fields))
        for tables, fields in rows("Shapes of lines")
        for table in re.findall(r"`(\w+)`", tables)
    }
    assert told == {table: set(fields) for table, fields in SHAPE_FIELDS.items()}


def test_the_limits_are_those_of_the_code() -> None:
    found = re.findall(r"^\| [^|]+ \| ([\d,]+)[^|]* \| `(\w+)\.(\w+)` \|$", PAGE, re.MULTILINE)
    assert len(found) == 8
    for value, module, name in found:
        assert getattr(MODULES[module], name) == int(value.replace(",", ""))
