"""`tillside-central release`: make the keys, release a version to registers, and see how far it got."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct

from central import releases
from central.cli.command import USAGE, Data, Json, fail, failures, opened, say
from central.clock import utc_now
from central.folder import DataFolder
from central.releases import Moved, Release, ReleaseRefusedError

if TYPE_CHECKING:
    from central.release_folder import ReleaseFolder

app = typer.Typer()

PASSPHRASE_VARIABLE = "TILLSIDE_RELEASE_PASSPHRASE"  # noqa: S105 - a name
DEFAULT_SOAK_HOURS = 48

Version = Annotated[str, typer.Argument(help="Three numbers, as in 1.20.3.")]
Key = Annotated[Path, typer.Option("--key", help="The file of the key that signs releases, targets.pem.")]


class MadeKeys(Struct, frozen=True, kw_only=True):
    """Where the keys are, and the root that every register is given."""

    keys: str
    root: str


class Signed(Struct, frozen=True, kw_only=True):
    """What a register can prove now."""

    files: tuple[str, ...]


@app.command("init")
def release_init(
    *,
    data: Data,
    keys: Annotated[Path, typer.Option(help="A new folder for the keys; take it off this machine afterwards.")],
    as_json: Json = False,
) -> None:
    """Make the keys: three of which any two sign the root, and the one that signs releases."""
    with _folder(data, as_json) as folder:
        folder.create(keys, _passphrase(new=True), utc_now())
    text = (
        f"The keys are in {keys}: take root-1.pem, root-2.pem and root-3.pem to three places off this machine, and "
        "keep targets.pem where you build.\n"
        f"Give every register {folder.path / 'metadata' / '1.root.json'} as /etc/tillside/update-root.json."
    )
    made = MadeKeys(keys=str(keys), root=str(folder.path / "metadata" / "1.root.json"))
    say(as_json, made, text)


@app.command("root")
def release_root(
    *,
    data: Data,
    keys: Annotated[list[Path], typer.Option("--key", help="Two of the root's keys, each with this option.")],
    replaces: Annotated[str, typer.Option(help="The id of a key that is lost: a new one takes its place.")] = "",
    new_key: Annotated[Path | None, typer.Option(help="Where to put the new one.")] = None,
    new_online: Annotated[
        bool,
        typer.Option("--new-online", help="Give the centre another key of its own; somebody has the old one."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Sign the root anew, for two years more; without `--replaces` with the keys that it has."""
    from central.release_folder import new_root_key, signer_of

    if bool(replaces) != (new_key is not None):
        fail(as_json, "`--replaces` and `--new-key` go together", USAGE)
    with _folder(data, as_json) as folder:
        passphrase = _passphrase()
        signers = [signer_of(key, passphrase) for key in keys]
        replaced = {replaces: new_root_key(new_key, passphrase)} if new_key is not None else {}
        folder.sign_root(signers, utc_now(), replaced, new_online=new_online)
        ids, releases_key = folder.root_keys(), folder.releases_key()
    say(
        as_json,
        Signed(files=ids),
        "The root is signed anew. Its keys are:\n" + "\n".join(ids) + f"\nReleases are signed by:\n{releases_key}",
    )


@app.command("sign")
def release_sign(
    archives: Annotated[list[Path], typer.Argument(help="What `make package` made: tillside-VERSION-….tar.xz")],
    *,
    data: Data,
    key: Key,
    as_json: Json = False,
) -> None:
    """Have registers be able to prove these files; nobody is offered them yet."""
    from central.release_folder import signer_of

    with _folder(data, as_json) as folder:
        folder.publish(archives, signer_of(key, _passphrase()), utc_now())
        files = folder.released()
    say(as_json, Signed(files=files), "\n".join(files))


@app.command("offer")
def release_offer(
    version: Version,
    *,
    data: Data,
    canary: Annotated[
        list[str] | None, typer.Option(help="A store that goes first, as often as you like; else a hundredth does.")
    ] = None,
    soak_hours: Annotated[
        int, typer.Option(min=0, max=24 * 30, help="How long a ring runs it before the next one begins.")
    ] = DEFAULT_SOAK_HOURS,
    as_json: Json = False,
) -> None:
    """Offer a signed version to the first ring: it goes on to a tenth and to all by itself, as long as it does well."""
    with _folder(data, as_json) as folder:
        if not any(name.startswith(f"tillside-{version}-") for name in folder.released()):
            fail(as_json, f"no file of {version} is signed: run `tillside-central release sign` first")
    with opened(data, as_json) as (_, database), _refusals(as_json):
        database.write_now(
            lambda connection: releases.offer(connection, version, canary or (), timedelta(hours=soak_hours), utc_now())
        )
    say(as_json, Moved(version=version, ring="canary"), f"{version} is offered to the first registers.")


@app.command("list")
def release_list(data: Data, as_json: Json = False) -> None:
    """Say how far each release got, and how many registers of its ring run it."""
    with opened(data, as_json) as (_, database):
        listed = database.read_now(lambda connection: releases.listed(connection, utc_now()))
    say(as_json, listed, "\n".join(map(_line, listed.releases)) or "Nothing was offered yet.")


@app.command("stop")
def release_stop(
    version: Version,
    *,
    data: Data,
    because: Annotated[str, typer.Option(help="Why; the list shows it.")] = "stopped by an operator",
    as_json: Json = False,
) -> None:
    """Offer it to no further register. Those that run it run it on."""
    with opened(data, as_json) as (_, database), _refusals(as_json):
        database.write_now(lambda connection: releases.stop(connection, version, because))
    say(as_json, Moved(version=version, ring="canary", stopped=because), f"{version} goes no further.")


@app.command("go-on")
def release_go_on(version: Version, *, data: Data, as_json: Json = False) -> None:
    """Take up one that stopped in its ring, or let one that runs begin with the next ring now."""
    with opened(data, as_json) as (_, database), _refusals(as_json):
        ring = database.write_now(lambda connection: releases.go_on(connection, version, utc_now()))
        listed = database.read_now(lambda connection: releases.listed(connection, utc_now())).releases
    waits = next(one.waits for one in listed if one.version == version)
    told = f"{version} is offered to the ring: {ring}."
    if waits:
        told += f"\nIt waits there: {waits}; {releases.REMEDY} tillside-central release go-on {version}."
    say(as_json, Moved(version=version, ring=ring), told)


def _line(release: Release) -> str:
    state = f"STOPPED: {release.stopped}" if release.stopped else f"since {release.entered_at:%Y-%m-%d %H:%M} UTC"
    state += f"  {release.waits}" if release.waits else ""
    return f"{release.version}  {release.ring}  {release.runs} of {release.of} run it  {state}"


@contextmanager
def _folder(data: Path, as_json: bool) -> Iterator[ReleaseFolder]:
    from central.release_folder import ReleaseError, ReleaseFolder

    with failures(as_json):
        folder = DataFolder(data)
        folder.settings()
        try:
            yield ReleaseFolder(folder.releases)
        except ReleaseError as error:
            fail(as_json, str(error))


@contextmanager
def _refusals(as_json: bool) -> Iterator[None]:
    try:
        yield
    except ReleaseRefusedError as error:
        fail(as_json, str(error))
    except ValueError as error:
        fail(as_json, str(error), USAGE)


def _passphrase(*, new: bool = False) -> bytes:
    """From the environment, else asked for; never an argument, which every process of the machine could read."""
    given = os.environ.get(PASSPHRASE_VARIABLE)
    if given is None:
        given = str(typer.prompt("Passphrase of the keys", hide_input=True, confirmation_prompt=new))
    return given.encode()
