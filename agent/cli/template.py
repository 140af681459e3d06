"""`tillside template`: learn a layout from captures, test a template on them, check one, show a shipped one."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from agent.cli.exit_codes import DONE, PROBLEM, USAGE
from agent.cli.outcome import complain, say, say_json
from drivers.capture import CaptureError, decode_capture, is_capture
from drivers.receipts.decode import MAX_DOCUMENT_BYTES, DecodeOptionsError, check_options
from drivers.receipts.layout import generic_template
from drivers.receipts.learning import Learned, learn
from drivers.receipts.port import DecodeOptions
from drivers.receipts.template import (
    Template,
    TemplateError,
    TemplateProblem,
    check_name,
    content_hash,
    template_problems,
)
from drivers.receipts.template_files import SHIPPED, load_template, shipped_text
from drivers.receipts.template_writing import template_text
from drivers.receipts.trial import ReadLine, Role, Trial, TriedReceipt, is_other, papers_of, try_capture
from loyalty.receipt import Receipt

# A folder of captures that a person collected.
MAX_CAPTURES: Final = 1_000
_STYLES: Final[dict[Role, str]] = {"unknown": "red", "rule": "dim", "item": "green", "total": "bold green"}


class LearnedReceipt(Struct, frozen=True, kw_only=True):
    """What `learn --json` prints of one receipt."""

    file: str
    holds: bool
    why: str
    lines: tuple[ReadLine, ...]
    receipt: Receipt | None


class SetAside(Struct, frozen=True, kw_only=True):
    """Paper that nothing was learned from, since it is no receipt of the layout.

    `begins` is its first line that none of the receipts has.
    """

    file: str
    begins: str


class LearnedTemplate(Struct, frozen=True, kw_only=True):
    """What `learn --json` prints. With `problems` the template is to be completed before anything reads with it."""

    template: str
    notes: tuple[str, ...]
    receipts: tuple[LearnedReceipt, ...]
    set_aside: tuple[SetAside, ...] = ()
    problems: tuple[TemplateProblem, ...] = ()


class TestRow(Struct, frozen=True, kw_only=True):
    """What `test --json` prints of a receipt that does not hold; `begins` is a line of one whose number is not read."""

    file: str
    number: str
    begins: str
    why: str


class TestResult(Struct, frozen=True, kw_only=True):
    """What `test --json` prints."""

    template: str
    receipts: int
    read: int
    reconciled: int
    ignored: int
    problems: tuple[TestRow, ...]


class CheckResult(Struct, frozen=True, kw_only=True):
    """What `check --json` prints."""

    name: str = ""
    version: int = 0
    hash: str = ""
    problems: tuple[TemplateProblem, ...] = ()


class UnreadableCaptureError(ValueError):
    """A capture cannot be read. The message says what to do."""


def learn_command(
    *,
    captures: Sequence[str],
    out: str | None,
    name: str,
    code_page: str | None,
    currency: str | None,
    time_zone: str | None,
    as_json: bool,
) -> int:
    """Propose a template, and show what it makes of each receipt. 1 where one of them does not add up.

    `currency` is written into the template; `time_zone` completes the times of what is shown, and is no part of it.
    """
    options = DecodeOptions(code_page=code_page, currency=currency, time_zone=time_zone)
    try:
        check_options(options)
        check_name(name)
        found = [(file, paper) for file in captures for paper in papers_of(_document(Path(file)), options)]
    except (UnreadableCaptureError, DecodeOptionsError, TemplateError) as error:
        return complain("template learn", error, USAGE, as_json=as_json)
    papers = [(file, paper) for file, paper in found if not is_other(paper)]
    if not papers:
        return complain("template learn", "nothing is printed there; name captures of receipts", USAGE, as_json=as_json)
    learned = learn([paper for _, paper in papers], name=name, options=options)
    others = [papers[at] for at in learned.others]
    set_aside = tuple(
        SetAside(file=file, begins=_first_own_line(paper, learned))
        for file, paper in found
        if is_other(paper) or any(paper is other for _, other in others)
    )
    comment = f"Learned from {len(learned.receipts)} receipts. docs/templates.md says how to correct it."
    text = template_text(learned.template, "\n".join([comment, *learned.notes]))
    problems = tuple(template_problems(learned.template))
    if out is not None:
        try:
            Path(out).write_text(text, encoding="utf-8")
        except OSError as error:
            remedy = "Name a file that can be written"
            return complain("template learn", f"{out}: {error.strerror}. {remedy}.", USAGE, as_json=as_json)
    files = [file for at, (file, _) in enumerate(papers) if at not in learned.others]
    if as_json:
        say_json(
            LearnedTemplate(
                template=text,
                notes=learned.notes,
                receipts=tuple(_as_said(file, tried) for file, tried in zip(files, learned.receipts, strict=False)),
                set_aside=set_aside,
                problems=problems,
            )
        )
    else:
        for file, tried in zip(files, learned.receipts, strict=False):
            _show_receipt(file, tried)
        _show_remarks(set_aside, learned.notes, problems)
        sys.stdout.write(text if out is None else "")
        holds = sum(tried.holds for tried in learned.receipts)
        say(f"{holds} of {len(learned.receipts)} receipts add up" + (f"; written to {out}" if out else ""))
    return DONE if all(tried.holds for tried in learned.receipts) and not problems else PROBLEM


def _first_own_line(paper: Sequence[str], learned: Learned) -> str:
    receipts = {line.text.strip() for each in learned.receipts for line in each.lines}
    lines = [line.strip() for line in paper if line.strip()]
    return next((line for line in lines if line not in receipts), lines[0])


def _as_said(file: str, tried: TriedReceipt) -> LearnedReceipt:
    return LearnedReceipt(file=file, holds=tried.holds, why=tried.why, lines=tried.lines, receipt=tried.receipt)


def _show_receipt(file: str, tried: TriedReceipt) -> None:
    """Line by line, with colours where standard output is a terminal."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    console.print(Text(f"== {_harmless(file)}", style="bold"))
    for line in tried.lines:
        printed = _harmless(line.text)
        console.print(Text(f"{line.role:>9} │ {printed}", style=_STYLES.get(line.role, "") if printed.strip() else ""))
    told = "adds up" if tried.holds else tried.why
    console.print(Text(f"{'':>9} └ {told}", style="green" if tried.holds else "red"))


def _show_remarks(set_aside: Sequence[SetAside], notes: Sequence[str], problems: Sequence[TemplateProblem]) -> None:
    for paper in set_aside:
        say(f"- set aside, no receipt of this layout: {_harmless(paper.file)}: {_harmless(paper.begins)}")
    if set_aside:
        say("  in words of no shipped language it waits in quarantine, unless [ignored] names its titles")
    for note in notes:
        say(f"! {_harmless(note)}")
    for problem in problems:
        say(f"! it cannot be used yet: {problem.key}: {problem.problem}. {problem.remedy}")


def _harmless(text: str) -> str:
    """Text that cannot steer the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def try_command(
    *, folder: str, template: str | None, code_page: str | None, currency: str | None, as_json: bool
) -> int:
    """Read the captures of a folder with a template and say what does not add up; 1 if anything does not."""
    options = DecodeOptions(code_page=code_page, currency=currency)
    try:
        check_options(options)
        chosen = load_template(template) if template is not None else generic_template()
        trial = Trial(captures=tuple(_tried(folder, chosen, options)))
    except (TemplateError, UnreadableCaptureError, DecodeOptionsError) as error:
        return complain("template test", error, USAGE, as_json=as_json)
    result = TestResult(
        template=chosen.name,
        receipts=trial.counts["all"],
        read=trial.counts["read"],
        reconciled=trial.counts["hold"],
        ignored=sum(capture.ignored for capture in trial.captures),
        problems=tuple(
            TestRow(file=capture.name, number=_number(tried), begins=_begins(tried), why=tried.why)
            for capture in trial.captures
            for tried in capture.receipts
            if not tried.holds
        ),
    )
    if as_json:
        say_json(result)
    else:
        _show_trial(trial, result)
    return DONE if result.receipts and not result.problems else PROBLEM


def _number(tried: TriedReceipt) -> str:
    return (tried.receipt.number or "") if tried.receipt is not None else ""


def _begins(tried: TriedReceipt) -> str:
    """The first line that names a receipt, or else the first one."""
    named = (line.text for line in tried.lines if line.role == "fact")
    printed = (line.text for line in tried.lines if line.text.strip())
    return next(named, next(printed, "")).strip()


def _show_trial(trial: Trial, result: TestResult) -> None:
    width = max([len(capture.name) for capture in trial.captures] + [len("file")])
    say(f"{'file':<{width}}  receipts  read  add up  other paper")
    for capture in trial.captures:
        each = Trial(captures=(capture,)).counts
        say(f"{capture.name:<{width}}  {each['all']:>8}  {each['read']:>4}  {each['hold']:>6}  {capture.ignored:>11}")
    say(f"{'':<{width}}  {result.receipts:>8}  {result.read:>4}  {result.reconciled:>6}  {result.ignored:>11}")
    for row in result.problems:
        which = f"receipt {row.number}" if row.number else repr(_harmless(row.begins))
        say(f"{row.file}: {which}: {row.why}")


def _tried(folder: str, template: Template, options: DecodeOptions) -> Iterator:  # type: ignore[type-arg]
    place = Path(folder)
    files = [place] if place.is_file() else sorted(path for path in place.glob("*") if path.is_file())
    if not files:
        raise UnreadableCaptureError(f"{folder}: no captures there. Name a folder of printer dumps or text files")
    for path in files[:MAX_CAPTURES]:
        yield try_capture(path.name, _document(path), template, options)


def check_command(*, file: str, as_json: bool) -> int:
    """Say whether a template can be used; 1 with each error's place and remedy if not."""
    try:
        template = load_template(file)
    except TemplateError as error:
        if as_json:
            say_json(CheckResult(problems=error.problems))
            return PROBLEM
        return complain("template check", error, PROBLEM, as_json=False)
    result = CheckResult(name=template.name, version=template.version, hash=content_hash(template))
    if as_json:
        say_json(result)
    else:
        say(f"{result.name} version {result.version} is right, {result.hash}")
    return DONE


class ShownTemplate(Struct, frozen=True, kw_only=True):
    """What `show --json` prints."""

    name: str
    template: str


def show_command(*, name: str, as_json: bool) -> int:
    """Print a shipped template to start from."""
    try:
        text = shipped_text(name)
    except KeyError:
        remedy = f"choose one of {', '.join(SHIPPED)}"
        return complain("template show", f"no shipped template {name!r}; {remedy}", USAGE, as_json=as_json)
    if as_json:
        say_json(ShownTemplate(name=name, template=text))
    else:
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
    return DONE


def _document(path: Path) -> bytes:
    """A capture's file; of what `tillside capture` wrote, what was captured. Raises UnreadableCaptureError."""
    try:
        with path.open("rb") as stream:
            document = stream.read(MAX_DOCUMENT_BYTES + 1)
        if len(document) > MAX_DOCUMENT_BYTES:
            raise UnreadableCaptureError(f"{path}: larger than {MAX_DOCUMENT_BYTES // 1024**2} MiB; cut it into parts")
        return decode_capture(document).data if is_capture(document) else document
    except OSError as error:
        raise UnreadableCaptureError(f"{path}: {error.strerror or error}. Name a file that can be read") from error
    except CaptureError as error:
        raise UnreadableCaptureError(f"{path}: {error}") from error
