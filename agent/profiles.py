"""Members at the till: who joins here, and what is told of them.

Owns what a POS or the command line may ask for, and the entries and the overlay that it becomes; durable before it is
answered, once under its Idempotency-Key. Never decides what counts: the centre merges. Never knows HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from agent.calls import answered, call_of, once
from agent.inspection import NotFoundError
from agent.problem import MalformedBodyError
from loyalty.addresses import address_code, email_address, phone_number
from loyalty.identification import MAX_WRITTEN_CHARS, MemberKind, is_member_code, normal_code
from loyalty.member import Consent, Identifier, Member
from loyalty.names import shown_name
from loyalty.nul import holds_nul
from loyalty.pan import first_pan
from sync.records import (
    AliasBody,
    ConsentBody,
    ConsentChannel,
    ConsentState,
    FieldName,
    JoinBody,
    ProfileBody,
    TextVersion,
    ToldCode,
    ToldConsent,
    ToldValue,
)
from sync.store.overlay import SHOWN, Edit
from sync.store.store import Store
from sync.store.writing import Writing

# By what a channel reaches people.
ADDRESS_OF: Final = {"sms": "phone", "viber": "phone", "whatsapp": "phone", "email": "email"}
# Under which name calls are remembered.
CALLS: Final = "members"

Name = Annotated[str, Meta(min_length=1, max_length=80)]
Language = Annotated[str, Meta(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", max_length=16)]
Note = Annotated[str, Meta(min_length=1, max_length=200)]
Address = Annotated[str, Meta(min_length=1, max_length=500)]
Written = Annotated[str, Meta(min_length=1, max_length=MAX_WRITTEN_CHARS)]
BirthDate = Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]


class GivenConsent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person said to being written to on a channel (`sms`, `email` …), shown the text of this version."""

    channel: ConsentChannel
    state: ConsentState
    text_version: TextVersion


class GivenCode(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A card or other code that names the member from now on; `of` is a number of the card that it is one more of."""

    code: Written
    kind: MemberKind = "card"
    of: Written | UnsetType = UNSET


class JoinRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody joins here. At least one of `phone`, `email` and `code` finds them again. `operator` asked them."""

    short_name: Name | UnsetType = UNSET
    phone: Written | UnsetType = UNSET
    email: Written | UnsetType = UNSET
    language: Language | UnsetType = UNSET
    birth_date: BirthDate | UnsetType = UNSET
    address: Address | UnsetType = UNSET
    note: Note | UnsetType = UNSET
    code: GivenCode | UnsetType = UNSET
    consents: Annotated[tuple[GivenConsent, ...], Meta(max_length=16)] = ()
    operator: TextVersion | UnsetType = UNSET


class EditRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is told of a member; what is absent stays, null takes away."""

    short_name: Name | UnsetType | None = UNSET
    phone: Written | UnsetType | None = UNSET
    language: Language | UnsetType | None = UNSET
    note: Note | UnsetType | None = UNSET
    consents: Annotated[tuple[GivenConsent, ...], Meta(max_length=16)] = ()
    code: GivenCode | UnsetType = UNSET
    operator: TextVersion | UnsetType = UNSET


class MemberTold(Struct, frozen=True, kw_only=True):
    """Kept here, and on its way to the centre: the member's id, and how many entries tell of it."""

    member: str
    entries: int


Named = Callable[[str, Sequence[str]], None]
"""The entry with this key gives somebody these codes."""
Claim = Callable[[Writing, str, Sequence[str]], Callable[[], None]]
"""What was kept for codes that an entry gives somebody is theirs; what is returned is called once that is durable."""
Work = Callable[[Writing, Named], MemberTold]


class HasMemberError(Exception):
    """A code, telephone number or address of somebody who would be new names a `member` already, of this short name."""

    def __init__(self, name: str, member: str) -> None:
        super().__init__("somebody has it")
        self.name = name
        self.member = member


class TwoMembersError(Exception):
    """What somebody who would be new gave is one member's and another's: nobody can tell who they are."""

    def __init__(self) -> None:
        super().__init__("two members have it")


class Profiles:
    """Takes joins and edits of one register."""

    def __init__(self, store: Store, claim: Claim = lambda _writing, _entry, _codes: lambda: None) -> None:
        self._store = store
        self._claim = claim

    def answered(self, asked: Struct, idempotency_key: str | None) -> MemberTold | None:
        """What the call that asked this was told; None where there was none yet. Raises MalformedBodyError."""
        call = call_of(idempotency_key)
        return answered(self._store, source=CALLS, call=call, asked=_asked(asked), answer=MemberTold)

    async def join(
        self, request: JoinRequest, idempotency_key: str | None, *, only_new: bool = False, asked: Struct | None = None
    ) -> MemberTold:
        """`asked` is what the caller was asked, where the request was made of it.

        Raises MalformedBodyError, StoreError, with `only_new` HasMemberError, TwoMembersError; keeps nothing.
        """
        _check(request)
        if not (request.phone or request.email or request.code):
            raise MalformedBodyError("Give a phone, an email or a code: nothing else finds the member again.")
        made = _asked(asked or request)

        def work(writing: Writing, named: Named) -> MemberTold:
            return _join(writing, request, named, only_new=only_new)

        return await self._once(made, idempotency_key, work)

    async def edit(
        self, which: str, request: EditRequest, idempotency_key: str | None, *, asked: Struct | None = None
    ) -> MemberTold:
        """`which` is a code or id, `asked` as above.

        Raises NotFoundError, MalformedBodyError and StoreError; nothing is kept then.
        """
        _check(request)
        made = _asked(request, which) if asked is None else _asked(asked)
        return await self._once(made, idempotency_key, lambda writing, named: _edit(writing, which, request, named))

    async def _once(self, asked: bytes, key: str | None, work: Work) -> MemberTold:
        call, claimed = call_of(key), list[Callable[[], None]]()

        def claiming(writing: Writing) -> MemberTold:
            return work(writing, lambda entry, codes: claimed.append(self._claim(writing, entry, codes)))

        told = await self._store.write(
            lambda writing: once(writing, source=CALLS, call=call, asked=asked, answer=MemberTold, work=claiming)
        )
        for tell in claimed:
            tell()
        return told


def _asked(asked: Struct, about: str = "") -> bytes:
    return msgspec.json.encode((about, asked))


def _check(request: JoinRequest | EditRequest) -> None:
    """Whatever passes has an effect at the centre: nobody is told that it is kept, and finds it thrown out."""
    if holds_nul(msgspec.json.encode(request)):
        raise MalformedBodyError("A text holds a NUL, which nothing keeps: leave it out.")
    if request.short_name and not shown_name(request.short_name):
        raise MalformedBodyError("There is nothing to read in the short_name: leave it out, or give a name.")
    if isinstance(request, JoinRequest) and request.birth_date and not _is_date(request.birth_date):
        raise MalformedBodyError("The birth_date is no day of the calendar.")
    if request.phone:
        _check_phone(request.phone)
    if isinstance(request, JoinRequest) and request.email and email_address(request.email) is None:
        raise MalformedBodyError("The email is no e-mail address.")
    if request.code:
        _check_code(request.code)
    for name, text in _texts(request):
        if text and first_pan(text) is not None:
            raise MalformedBodyError(f"There is a payment card's number in `{name}`, and those are kept nowhere.")


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _check_phone(phone: str) -> None:
    number = phone_number(phone)
    if number is None:
        raise MalformedBodyError("The phone is no telephone number: 5 to 15 digits, with a + before its country.")
    # Numbers that name their country look like cards' now and then.
    if not number.startswith("+") and first_pan(number) is not None:
        raise MalformedBodyError("The phone is a payment card's number; a telephone number has a + before its country.")


def _check_code(given: GivenCode) -> None:
    if given.kind in ("phone", "email"):
        raise MalformedBodyError("A telephone number goes into `phone`, an address into `email`.")
    for name, code in (("code", given.code), ("of", given.of)):
        if code is UNSET:
            continue
        if not is_member_code(normal_code(code), given.kind):
            raise MalformedBodyError(f"`{name}` has characters that no card's number has, or more than 64 of them.")
        if first_pan(code) is not None:
            raise MalformedBodyError(f"`{name}` is a payment card's number, and those are kept nowhere.")


def _texts(request: JoinRequest | EditRequest) -> Iterator[tuple[str, str | UnsetType | None]]:
    """What may hold anything, by name."""
    for name in ("short_name", "email", "address", "note", "operator"):
        yield name, getattr(request, name, UNSET)
    for consent in request.consents:
        yield "text_version", consent.text_version


def _join(writing: Writing, request: JoinRequest, named_by: Named, *, only_new: bool) -> MemberTold:
    key = writing.code_key()
    named = _named(writing, request)
    if named:
        found = next(iter(named.values()))
        if only_new and len(named) > 1:
            raise TwoMembersError
        if only_new:
            raise HasMemberError(found.short_name or "", found.member)
        # They are known here: what is told is told of who they are.
        return _tell(writing, found, _as_edit(request), named_by)
    _check_reachable(request)
    provisional = writing.new_id("p-")
    stamp = writing.stamp()
    told: dict[FieldName, str | UnsetType] = {
        "short_name": shown_name(request.short_name) if request.short_name else UNSET,
        "language": request.language,
        "note": request.note,
        "phone": request.phone,
        "email": request.email,
        "address": request.address,
        "birth_date": request.birth_date,
    }
    fields = {name: ToldValue(value=value, hlc=stamp) for name, value in told.items() if value is not UNSET}
    written = _codes_of(request)
    body = JoinBody(
        provisional_id=provisional,
        fields=fields,
        consent=tuple(_consent(one, None, request.operator) for one in request.consents),
        codes=tuple(ToldCode(kind=kind, code=code) for kind, code in written),
    )
    identifiers = tuple(
        Identifier(kind=kind, code=code) for kind, text in written if (code := _held(kind, text, key)) is not None
    )
    writing.add_joined(Member(member=provisional))
    edit = Edit(
        fields={name: fields[name].value for name in SHOWN if name in fields},
        codes=identifiers,
        consents=_shown(request.consents),
        stamps={name: told.hlc for name, told in fields.items() if name in (*SHOWN, "phone")},
    )
    writing.tell("join", provisional, body, edit)
    named_by(provisional, [one.code for one in identifiers])
    return MemberTold(member=provisional, entries=1)


def _check_reachable(request: JoinRequest) -> None:
    """Of who is new nobody was told an address before."""
    for one in request.consents:
        address = ADDRESS_OF.get(one.channel)
        if one.state == "granted" and address is not None and not getattr(request, address):
            raise MalformedBodyError(
                f"A consent to {one.channel!r} needs the `{address}` that it is for: ask for it, or leave it out."
            )


def _edit(writing: Writing, which: str, request: EditRequest, named_by: Named) -> MemberTold:
    member = writing.member_by_code(which) or writing.member(which)
    if member is None:
        raise NotFoundError("this register holds no such member; a scan asks the centre about one")
    return _tell(writing, member, request, named_by)


def _tell(writing: Writing, member: Member, request: EditRequest, named_by: Named) -> MemberTold:
    """An entry for the fields, one for each channel, one for the code."""
    entries = 0
    # Later than what is shown, which may be from a register whose clock is ahead: what is told next has seen this.
    writing.follow([*(member.stamps or {}).values(), *(one.hlc for one in member.consents or () if one.hlc)])
    fields = _fields(request)
    if fields:
        stamp, seen = writing.stamp(), member.stamps or {}
        told: dict[FieldName, ToldValue] = {
            name: ToldValue(value=value, hlc=stamp, seen=seen.get(name, UNSET)) for name, value in fields.items()
        }
        edit = Edit(
            fields={name: value for name, value in fields.items() if name in SHOWN},
            phone=_phone_code(writing, fields),
            stamps=dict.fromkeys(fields, stamp),
        )
        writing.tell("profile", writing.new_id("e-"), ProfileBody(member=member.member, fields=told), edit)
        entries += 1
    for consent in request.consents:
        before = next((one for one in member.consents or () if one.channel == consent.channel), None)
        said = _consent(consent, before, request.operator)
        body = ConsentBody(member=member.member, **{name: getattr(said, name) for name in said.__struct_fields__})
        writing.tell("consent", writing.new_id("e-"), body, Edit(consents=_shown((consent,))))
        entries += 1
    if request.code:
        given = request.code
        code = ToldCode(kind=given.kind, code=normal_code(given.code))
        alias = AliasBody(member=member.member, code=code, of=normal_code(given.of) if given.of else UNSET)
        identifier = Identifier(kind=given.kind, code=code.code)
        entry = writing.new_id("e-")
        writing.tell("alias", entry, alias, Edit(codes=(identifier,)))
        named_by(entry, [code.code])
        entries += 1
    return MemberTold(member=member.member, entries=entries)


def _fields(request: EditRequest) -> dict[FieldName, str | None]:
    given: dict[FieldName, str | UnsetType | None] = {
        "short_name": shown_name(request.short_name) if request.short_name else request.short_name,
        "language": request.language,
        "note": request.note,
        "phone": request.phone,
    }
    return {name: value for name, value in given.items() if value is not UNSET}


def _as_edit(request: JoinRequest) -> EditRequest:
    """A join of who is known already; what a register may not hold of them is left out."""
    return EditRequest(
        short_name=request.short_name,
        phone=request.phone,
        language=request.language,
        note=request.note,
        consents=request.consents,
        code=request.code,
        operator=request.operator,
    )


def _named(writing: Writing, request: JoinRequest) -> dict[str, Member]:
    """Whose the code, telephone number and address are, by their ids, in that order."""
    found = (writing.member_by_code(code) for _, code in _codes_of(request))
    return {member.member: member for member in found if member is not None}


def _codes_of(request: JoinRequest) -> list[tuple[MemberKind, str]]:
    codes: list[tuple[MemberKind, str]] = []
    if request.code:
        codes.append((request.code.kind, normal_code(request.code.code)))
    if request.phone:
        codes.append(("phone", request.phone))
    if request.email:
        codes.append(("email", request.email))
    return codes


def _held(kind: MemberKind, text: str, key: str | None) -> str | None:
    """The code by which this register finds the member; none of an address before the centre was heard of."""
    if kind not in ("phone", "email"):
        return normal_code(text)
    return address_code(kind, text, key) if key is not None else None


def _phone_code(writing: Writing, fields: dict[FieldName, str | None]) -> str | None:
    if "phone" not in fields:
        return None
    number = fields["phone"]
    code = writing.hidden("phone", number) if number else ""
    return code if code != number else ""


def _consent(given: GivenConsent, before: Consent | None, operator: str | UnsetType) -> ToldConsent:
    return ToldConsent(
        channel=given.channel,
        state=given.state,
        text_version=given.text_version,
        seen=before.hlc if before is not None and before.hlc else UNSET,
        operator=operator,
    )


def _shown(consents: tuple[GivenConsent, ...]) -> tuple[Consent, ...]:
    return tuple(Consent(channel=one.channel, state=one.state, text_version=one.text_version) for one in consents)
