"""The centre's templates at a register: tried on its captures, in force over a restart, refused in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agent.central_templates import (
    FOLDER,
    MAX_CAPTURES,
    Refused,
    stored_captures,
    tried_templates,
)
from central import configs, operations
from drivers.capture import BytesRead, Capture, Header, encode_capture
from drivers.receipts.port import DecodeOptions
from drivers.receipts.template import template_from
from loyalty.centre_config import LayoutTemplate
from tests.agent.test_rules_in_force import Scanner, configured, enrolled, running, scanner
from tests.drivers.receipts.test_retrial import FINNISH, FOREIGN, GREEDY, OWN, SALE
from tests.sync.centre import Centre, running_centre, utc_now

__all__ = ["scanner"]

OPTIONS = {"paper": OWN}
SOURCE = '[[receipts]]\nname = "paper"\nfolder = "drop"\nafterwards = "leave"\nsettle_ms = 0\n'


def layout(text: str, name: str) -> LayoutTemplate:
    return LayoutTemplate(name=name, toml=text)


def captures_in(state: Path, **texts: str) -> Path:
    state.mkdir(mode=0o700, exist_ok=True)
    folder = state / FOLDER / "paper"
    folder.mkdir(parents=True)
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    return state / FOLDER


def test_a_register_without_captures_takes_what_can_be_read(tmp_path: Path) -> None:
    tried = tried_templates([layout(FINNISH, "kioski")], (), OPTIONS, tmp_path / "none")

    assert not isinstance(tried, Refused)
    assert [template.name for template in tried] == ["kioski"]


def test_one_that_loses_a_fact_is_refused_with_the_receipt_the_capture_and_the_fact(tmp_path: Path) -> None:
    folder = captures_in(tmp_path, monday=SALE)

    tried = tried_templates([layout(GREEDY, "greedy")], (), OPTIONS, folder)

    assert isinstance(tried, Refused)
    assert "receipt 4711 in the capture captures/paper/monday.txt reads operator otherwise" in tried.why


def test_one_that_is_withdrawn_though_captures_need_it_stays(tmp_path: Path) -> None:
    folder = captures_in(tmp_path, monday=FOREIGN)
    before = (template_from(FINNISH.encode(), "a test"),)

    tried = tried_templates([], before, OPTIONS, folder)

    assert isinstance(tried, Refused)
    assert "receipt 17 in the capture captures/paper/monday.txt is no longer read" in tried.why


def test_one_that_this_version_cannot_read_is_refused_with_its_key(tmp_path: Path) -> None:
    tried = tried_templates([layout('name = "new"\nsheen = 1\n', "new")], (), OPTIONS, tmp_path)

    assert isinstance(tried, Refused)
    assert "the centre's template new: sheen: no such key" in tried.why


def test_all_that_is_wrong_with_one_is_told_on_one_line(tmp_path: Path) -> None:
    tried = tried_templates([layout('name = "x"\n', "x")], (), OPTIONS, tmp_path)

    assert isinstance(tried, Refused)
    assert "such as TOTAL. The templates before stay in force" in tried.why
    assert tried.why.count("the centre's template x: [") == 2
    assert "\n" not in tried.why


def test_settings_that_cannot_be_followed_are_the_sources_to_tell(tmp_path: Path) -> None:
    folder = captures_in(tmp_path, monday=SALE)

    tried = tried_templates([layout(FINNISH, "kioski")], (), {"paper": DecodeOptions(code_page="CP1")}, folder)

    assert not isinstance(tried, Refused)


def test_captures_are_dumps_texts_and_what_capture_recorded_but_no_links(tmp_path: Path) -> None:
    folder = captures_in(tmp_path, b=SALE, a=FOREIGN) / "paper"
    read = BytesRead(ms=0, data=SALE.encode())
    header = Header(kind="relay", driver="spool", started_at=utc_now())
    (folder / "c.capture").write_bytes(encode_capture(Capture(header=header, reads=(read,))))
    (folder / "d.txt").symlink_to(folder / "a.txt")

    found = list(stored_captures(folder))

    assert [one.name for one in found] == ["a.txt", "b.txt", "c.capture"]
    assert found[2].document == SALE.encode()


def test_no_more_captures_are_tried_than_a_trial_has_time_for(tmp_path: Path) -> None:
    folder = captures_in(tmp_path, **{f"{number:04}": SALE for number in range(MAX_CAPTURES + 1)}) / "paper"

    assert len(list(stored_captures(folder))) == MAX_CAPTURES


def publish(centre: Centre, templates: Sequence[LayoutTemplate]) -> None:
    centre.write(lambda c: configs.publish_templates(c, templates, centre.folder.program_key(), utc_now()))


async def test_a_register_takes_a_template_keeps_it_and_refuses_a_worse_one(tmp_path: Path, scanner: Scanner) -> None:
    (tmp_path / "drop").mkdir()
    captures_in(tmp_path / "state", monday=SALE)
    async with running_centre(tmp_path / "centre") as centre:
        config = configured(tmp_path, scanner, SOURCE)
        await enrolled(centre, config, centre.port)
        async with running(config, scanner) as till:
            # given a register that cannot read a till's paper
            await till.until(lambda: till.status.badge.online)
            central = till._register._central_templates
            assert central is not None

            # when the centre publishes its template
            publish(centre, [layout(FINNISH, "kioski")])
            await till.until(lambda: [one.name for one in central.in_force] == ["kioski"])
            assert till.status.templates == ("kioski",)

            # then the next paper is read
            (tmp_path / "drop" / "1.txt").write_text(FOREIGN, encoding="utf-8")
            await till.until(lambda: till.store.receipt_by_number("17"))

            # and one that spoils another till's is refused, and said
            publish(centre, [layout(GREEDY, "greedy")])
            await till.until(lambda: "reads operator otherwise" in repr(till.status.workers))
            assert [one.name for one in central.in_force] == ["kioski"]

            # at the centre too, with the next sign of life, until it goes back to what is good
            await till.until(lambda: centre.write(operations.template_refusals))
            (refusal,) = centre.write(operations.template_refusals)
            assert "captures/paper/monday.txt reads operator otherwise" in refusal.why
            centre.write(lambda c: configs.withdraw_template(c, "greedy", centre.folder.program_key(), utc_now()))
            await till.until(lambda: central.problem is None)
            await till.until(lambda: not centre.write(operations.template_refusals))

        # and after a restart without the centre the good one is in force
    async with running(config, scanner) as till:
        again = till._register._central_templates
        assert again is not None
        assert [one.name for one in again.in_force] == ["kioski"]
