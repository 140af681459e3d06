"""`tillside-central vouchers`: issue vouchers, see what became of them, and revoke one."""

from __future__ import annotations

import secrets
from typing import Annotated

import typer
from sqlalchemy import Connection

from central import members, vouchers
from central.cli.command import USAGE, Data, Json, fail, opened, say
from central.clock import utc_now
from central.members import UnknownMemberError
from central.vouchers import MAX_ISSUED, MAX_USES, Listed, VoucherError, VoucherList
from loyalty.periods import is_expiry
from loyalty.voucher_codes import printed_code

app = typer.Typer()

Which = Annotated[str, typer.Argument(help="The code of a voucher, or the id that `vouchers list` prints.")]


@app.command("issue")
def vouchers_issue(
    *,
    data: Data,
    reward: Annotated[str, typer.Option(help='A reward of the program that has "issued": true.')],
    count: Annotated[int, typer.Option(min=1, max=MAX_ISSUED, help="How many vouchers.")] = 1,
    member: Annotated[str, typer.Option(help="For one member, by id or code; else for whoever shows it.")] = "",
    uses: Annotated[int, typer.Option(min=1, max=MAX_USES, help="How often each may be used.")] = 1,
    until: Annotated[str, typer.Option(help="The last day on which they are good, or so long: 2027-12-31, P3M.")] = "",
    as_json: Json = False,
) -> None:
    """Print the codes of new vouchers, one a line. They are told this once: the centre keeps a digest of each."""
    if until and not is_expiry(until):
        fail(as_json, f"--until {until!r} is neither a day such as 2027-12-31 nor a duration such as P3M", USAGE)
    with opened(data, as_json) as (_, database):
        try:
            done = database.write_now(
                lambda connection: vouchers.issue(
                    connection,
                    reward,
                    count,
                    member=member or None,
                    uses=uses,
                    until=until or None,
                    now=utc_now(),
                    randomness=secrets.token_bytes,
                )
            )
        except (VoucherError, UnknownMemberError) as error:
            fail(as_json, str(error))
    say(as_json, done, "\n".join(map(printed_code, done.codes)))


@app.command("show")
def vouchers_show(which: Which, *, data: Data, as_json: Json = False) -> None:
    """Say how often a voucher was used, and at which registers it lies."""

    def work(connection: Connection) -> VoucherList:
        return vouchers.listed(connection, voucher=vouchers.named(connection, which))

    with opened(data, as_json) as (_, database):
        try:
            [shown] = database.read_now(work).vouchers
        except VoucherError as error:
            fail(as_json, str(error))
    say(as_json, shown, _text(shown))


@app.command("list")
def vouchers_list(
    *,
    data: Data,
    member: Annotated[str, typer.Option(help="Of one member, by id or code.")] = "",
    reward: Annotated[str, typer.Option(help="For one reward.")] = "",
    as_json: Json = False,
) -> None:
    """List vouchers by their ids, the newest first."""

    def work(connection: Connection) -> VoucherList:
        whose = members.named(connection, member) if member else None
        return vouchers.listed(connection, member=whose, reward=reward or None)

    with opened(data, as_json) as (_, database):
        try:
            shown = database.read_now(work)
        except UnknownMemberError as error:
            fail(as_json, str(error))
    lines = [_text(one) for one in shown.vouchers]
    if shown.more:
        lines.append("… and more: name a member or a reward")
    say(as_json, shown, "\n".join(lines) or "No vouchers were issued.")


@app.command("revoke")
def vouchers_revoke(
    which: Which,
    *,
    data: Data,
    because: Annotated[str, typer.Option(help="Why; kept with it, and told to who shows it.")],
    as_json: Json = False,
) -> None:
    """Let a voucher bring nothing from now on. A register that holds it and is offline may still give it."""
    if not because.strip():
        fail(as_json, "--because says why it brings nothing any more; write it", USAGE)

    def work(connection: Connection) -> Listed:
        voucher = vouchers.named(connection, which)
        vouchers.revoke(connection, voucher, because, utc_now())
        [shown] = vouchers.listed(connection, voucher=voucher).vouchers
        return shown

    with opened(data, as_json) as (_, database):
        try:
            shown = database.write_now(work)
        except VoucherError as error:
            fail(as_json, str(error))
    say(as_json, shown, _text(shown))


def _text(one: Listed) -> str:
    notes = [
        f"used {one.given} of {one.uses} times",
        f"lies at register {', '.join(one.places)}" if one.places else "",
        f"until {one.expires_at:%Y-%m-%d %H:%M} UTC" if one.expires_at is not None else "",
        f"revoked {one.revoked_at:%Y-%m-%d %H:%M} UTC" if one.revoked_at is not None else "",
        one.because or "",
    ]
    said = ", ".join(note for note in notes if note)
    return f"{one.voucher}  {one.reward}  {one.member or 'anybody'}  {one.issued_at:%Y-%m-%d %H:%M} UTC  {said}"
