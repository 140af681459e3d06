"""A layout as data: which words and shapes a till prints, and where the facts of a receipt stand.

Owns the template's types, its checks, its hash, and how several make one. `docs/templates.md` explains every key, and
`docs/template.schema.json` is made from these types. Never reads a file (`template_files` does) or a receipt
(`layout` does).
"""

from __future__ import annotations

import difflib
import hashlib
import re
import tomllib
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final, Literal, get_type_hints

import msgspec
from msgspec import Meta, Struct

from drivers.receipts.classify import IgnoredKind
from drivers.receipts.dates import DateFormat, DateFormatError, check_date_format
from drivers.receipts.shapes import DecimalMark, Field, Notation, ShapeError, compiled_shape
from loyalty.receipt import Currency

# A till's words and shapes fill two pages.
MAX_TEMPLATE_BYTES: Final = 64 * 1024
MAX_WORDS: Final = 256
MAX_WORD_LETTERS: Final = 64
MAX_SHAPES: Final = 64
MAX_DATES: Final = 8

# More than signs; written so that every reader of a JSON Schema means the same by it, in any alphabet.
WORD: Final = "[^ .:;,*#=_/-]"
Word = Annotated[str, Meta(min_length=1, max_length=MAX_WORD_LETTERS, pattern=WORD)]
Words = Annotated[tuple[Word, ...], Meta(max_length=MAX_WORDS)]
ShapeText = str | tuple[str, ...]
Shapes = Annotated[tuple[ShapeText, ...], Meta(max_length=MAX_SHAPES)]
TemplateName = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,63}$")]
Language = Annotated[str, Meta(pattern="^[a-z]{2,3}(-[A-Z]{2})?$")]


class _Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A table of a template."""


class Recognise(_Part, frozen=True, kw_only=True):
    """Words that stand on every receipt of the layout: all of `all`, one of `any`, none of `none`."""

    all: Words = ()
    any: Words = ()
    none: Words = ()


class Labels(_Part, frozen=True, kw_only=True):
    """Words with a fact behind them on the same line.

    `numero` may follow any of them: `Receipt No 4711`. `of` stands between the mark of a return and the number
    of its original: `RETURN of 4711`; `original` begins a line that says no more than that.
    """

    numero: Words = ()
    number: Words = ()
    store: Words = ()
    register: Words = ()
    operator: Words = ()
    member: Words = ()
    business_day: Words = ()
    original: Words = ()
    of: Words = ()


class Marks(_Part, frozen=True, kw_only=True):
    """Words that say what a receipt is. Those of a return or an exchange begin a line, the others are all of it."""

    returned: Words = ()
    exchange: Words = ()
    copy: Words = ()
    training: Words = ()
    voided: Words = ()
    suspended: Words = ()
    proforma: Words = ()
    advance: Words = ()


class Head(_Part, frozen=True, kw_only=True):
    """Shapes of lines that hold facts of the receipt and are found by their place."""

    lines: Shapes = ()


class Items(_Part, frozen=True, kw_only=True):
    """The goods. They stand above the total, and below a line that begins with a word of `begin`, where there is one.

    A line that begins with a word of `skip` sells nothing. One that begins with a word of `void` takes the item back
    that has its amount, or, without an amount, the item above.
    """

    begin: Words = ()
    lines: Shapes = ()
    skip: Words = ()
    void: Words = ()


class Discounts(_Part, frozen=True, kw_only=True):
    """Whose a discount is: the line's above it where it is indented, or always, or else the whole receipt's.

    Below a subtotal it is the receipt's in any case.
    """

    words: Words = ()
    lines: Shapes = ()
    of: Literal["indented", "line", "receipt"] = "indented"


class Sum(_Part, frozen=True, kw_only=True):
    """Words before an amount, and shapes of lines that words cannot tell."""

    words: Words = ()
    lines: Shapes = ()


class Tenders(_Part, frozen=True, kw_only=True):
    """Words before or behind what was paid, by kind. They stand below the total."""

    cash: Words = ()
    card: Words = ()
    instant: Words = ()
    giftcard: Words = ()
    voucher: Words = ()
    coupon: Words = ()
    points: Words = ()
    transfer: Words = ()
    cheque: Words = ()
    other: Words = ()


class Ignored(_Part, frozen=True, kw_only=True):
    """Titles of paper that is no receipt, each under what it is counted as in `ignored`.

    One of the first printed lines has a title's words, little else, and no amount.
    """

    card_slip: Words = ()
    z_report: Words = ()
    x_report: Words = ()
    kitchen_ticket: Words = ()
    cash_movement: Words = ()
    sign_on: Words = ()
    drawer: Words = ()
    test_page: Words = ()


class End(_Part, frozen=True, kw_only=True):
    """The last line of a receipt begins with one of these words; without them the next receipt's head ends it."""

    words: Words = ()


class Template(_Part, frozen=True, kw_only=True):
    """One printed layout. `version` grows with each change; `language` is a BCP 47 tag.

    `amounts` says on which side of its words an amount stands. Where it is before, a line is read, by words and by
    shapes, as if its amount stood behind.
    """

    name: TemplateName
    version: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    language: Language = "en"
    description: Annotated[str, Meta(max_length=400)] = ""
    currency: Currency | None = None
    decimal_mark: DecimalMark = "either"
    spaced_thousands: bool = False
    amounts: Literal["behind", "before"] = "behind"
    dates: Annotated[tuple[DateFormat, ...], Meta(max_length=MAX_DATES)] = ()
    recognise: Recognise = Recognise()
    labels: Labels = Labels()
    marks: Marks = Marks()
    head: Head = Head()
    items: Items = Items()
    discounts: Discounts = Discounts()
    subtotal: Sum = Sum()
    total: Sum = Sum()
    taxes: Sum = Sum()
    rounding: Sum = Sum()
    change: Sum = Sum()
    tenders: Tenders = Tenders()
    end: End = End()
    ignored: Ignored = Ignored()

    @property
    def notation(self) -> Notation:
        """How its numbers and dates are printed."""
        return Notation(decimal_mark=self.decimal_mark, spaced=self.spaced_thousands, dates=self.dates)


# Made here, so that msgspec has looked at the type before threads read templates: two that make it do so at once crash
# the interpreter (0.22).
_LOOKED_AT: Final = msgspec.json.Decoder(Template)

# Fields that shapes of each table may name.
SHAPE_FIELDS: Final[dict[str, frozenset[Field]]] = {
    "head": frozenset(
        ("number", "store", "register", "operator", "member", "original", "date", "time", "count", "text")
    ),
    "items": frozenset(
        ("name", "amount", "price", "quantity", "unit", "label", "sku", "count", "discount", "rate", "text")
    ),
    "discounts": frozenset(("name", "amount", "rate", "text")),
    "subtotal": frozenset(("amount", "count", "text")),
    "total": frozenset(("amount", "count", "currency", "text")),
    "taxes": frozenset(("label", "name", "rate", "net", "tax", "gross", "text")),
    "rounding": frozenset(("amount", "text")),
    "change": frozenset(("amount", "text")),
}
# And those without which a shape says nothing.
_NEEDED: Final[dict[str, Field]] = {
    "items": "amount", "discounts": "amount", "subtotal": "amount", "total": "amount", "taxes": "tax",
    "rounding": "amount", "change": "amount",
}  # fmt: skip


class TemplateProblem(Struct, frozen=True, kw_only=True):
    """What is wrong with a template: where in it, and what to do."""

    key: str
    problem: str
    remedy: str


class TemplateError(ValueError):
    """A template cannot be used. The message names where it is from, the key and the remedy."""

    def __init__(self, where: str, problems: Sequence[TemplateProblem]) -> None:
        self.where, self.problems = where, tuple(problems)
        super().__init__("\n".join(f"{where}: {_told(problem)}" for problem in problems))


def _told(problem: TemplateProblem) -> str:
    return f"{problem.key + ': ' if problem.key else ''}{problem.problem}. {problem.remedy}"


def template_from(document: bytes, where: str) -> Template:
    """The template in a TOML `document` that came from `where`. Raises TemplateError."""
    if len(document) > MAX_TEMPLATE_BYTES:
        raise _refused(where, "", f"larger than {MAX_TEMPLATE_BYTES} bytes", "This is no template; name another file")
    try:
        content = tomllib.loads(document.decode())
    except UnicodeDecodeError as error:
        raise _refused(where, f"byte {error.start}", "not UTF-8", "Save the file as UTF-8") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise _refused(where, "", f"not TOML: {error}", "Correct that line") from error
    unknown = list(_unknown_keys(content))
    if unknown:
        raise TemplateError(where, unknown)
    try:
        template = msgspec.convert(content, Template)
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at ")
        key = re.sub(r"\[(\d+)\]", lambda found: f" number {int(found[1]) + 1}", path.strip("`").removeprefix("$."))
        raise _refused(where, key, problem[:1].lower() + problem[1:].replace("`", ""), "Correct the value") from error
    problems = template_problems(template)
    if problems:
        raise TemplateError(where, problems)
    return template


def check_name(name: str) -> None:
    """Raises TemplateError where no template may be called so."""
    try:
        msgspec.convert(name, TemplateName)
    except msgspec.ValidationError as error:
        remedy = "Take small letters, digits and hyphens, 64 at most, such as corner-shop"
        raise _refused(f"{name[:80]!r}", "", "no name of a template", remedy) from error


def _refused(where: str, key: str, problem: str, remedy: str) -> TemplateError:
    return TemplateError(where, [TemplateProblem(key=key, problem=problem, remedy=remedy)])


def _unknown_keys(content: dict[str, Any]) -> Iterator[TemplateProblem]:
    for name, value in content.items():
        part = get_type_hints(Template).get(name)
        if part is None:
            yield _unknown(name, "", Template.__struct_fields__)
        elif isinstance(part, type) and issubclass(part, Struct) and isinstance(value, dict):
            yield from (
                _unknown(key, f"[{name}] ", part.__struct_fields__)
                for key in value
                if key not in part.__struct_fields__
            )


def _unknown(key: str, place: str, known: Sequence[str]) -> TemplateProblem:
    close = difflib.get_close_matches(key, known, n=1)
    remedy = f"Did you mean {close[0]!r}?" if close else f"Known here: {', '.join(sorted(known))}"
    return TemplateProblem(key=f"{place}{key}", problem="no such key", remedy=remedy)


def template_problems(template: Template) -> list[TemplateProblem]:
    """What types cannot say. Empty where the template can be read with."""
    problems: list[TemplateProblem] = []
    for index, form in enumerate(template.dates, 1):
        try:
            check_date_format(form)
        except DateFormatError as error:
            remedy = "Write it like dd.mm.yyyy, mm/dd/yy or dd mmm yyyy"
            problems.append(TemplateProblem(key=f"dates number {index}", problem=str(error), remedy=remedy))
    if problems:
        return problems
    for table, fields in SHAPE_FIELDS.items():
        for index, written in enumerate(getattr(template, table).lines, 1):
            key = f"[{table}] lines number {index}"
            lines = (written,) if isinstance(written, str) else written
            try:
                shape = compiled_shape(lines, fields, template.notation)
            except ShapeError as error:
                problems.append(TemplateProblem(key=key, problem=str(error), remedy="Correct the line"))
                continue
            needed = _NEEDED.get(table)
            if needed is not None and needed not in shape.fields:
                remedy = f"Write {{{needed}}} where it stands"
                problems.append(TemplateProblem(key=key, problem=f"it has no {{{needed}}}", remedy=remedy))
    for table in ("items", "total"):
        part = getattr(template, table)
        if not part.lines and not (table == "total" and part.words):
            remedy = 'Add a line such as "{name} {amount}"' if table == "items" else "Add its words, such as TOTAL"
            problems.append(TemplateProblem(key=f"[{table}]", problem="nothing says where it stands", remedy=remedy))
    return problems


def titles_of(template: Template) -> list[tuple[IgnoredKind, tuple[str, ...]]]:
    """The titles of paper that the template says is no receipt, by kind."""
    return [(kind, words) for kind in _IGNORED if (words := getattr(template.ignored, kind))]


_IGNORED: Final[tuple[IgnoredKind, ...]] = (
    "card_slip", "z_report", "x_report", "kitchen_ticket", "cash_movement", "sign_on", "drawer", "test_page",
)  # fmt: skip
_JSON: Final = msgspec.json.Encoder(order="sorted")


def content_hash(template: Template) -> str:
    """SHA-256 of what the template says, in hexadecimal; comments and the order of keys count for nothing."""
    return hashlib.sha256(_JSON.encode(template)).hexdigest()


def schema() -> bytes:
    """The JSON Schema of a template, as it is published."""
    (root,), components = msgspec.json.schema_components([Template], ref_template="#/$defs/{name}")
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Tillside template: the layout of a printed receipt",
        **root,
        "$defs": components,
    }
    return msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=2) + b"\n"


def merged(name: str, templates: Sequence[Template]) -> Template:
    """One template that knows the words and shapes of all of them, the first ones' first."""
    values: dict[str, Any] = {"name": name}
    for part, hint in get_type_hints(Template).items():
        if isinstance(hint, type) and issubclass(hint, Struct):
            values[part] = _merged_part(hint, [getattr(template, part) for template in templates])
    marks = {template.decimal_mark for template in templates}
    return Template(
        **values,
        decimal_mark=marks.pop() if len(marks) == 1 else "either",
        spaced_thousands=any(template.spaced_thousands for template in templates),
        dates=tuple(dict.fromkeys(form for template in templates for form in template.dates)),
    )


def _merged_part(hint: type[Struct], parts: Sequence[Struct]) -> Struct:
    values: dict[str, Any] = {}
    for key in hint.__struct_fields__:
        said = [getattr(part, key) for part in parts]
        values[key] = (
            tuple(dict.fromkeys(one for each in said for one in each))
            if key != "of" or not isinstance(said[0], str)
            else said[0]
        )
    return hint(**values)
