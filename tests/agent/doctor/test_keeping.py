"""What `doctor` says of the keys and of the store: readable, closed to others, opened, whole; and what to do else."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from msgspec.structs import replace

from agent.cli.stopped import stopped_register
from agent.doctor.keeping import keys_said, store_said
from config.settings import PathSettings, Settings
from sync.enrolling import enrol
from sync.enrolment import parse_code
from sync.keys import DEVICE_KEY, STORE_KEY, STORE_KEY_BYTES, keeper_for
from sync.store.errors import StoreUnavailableError
from sync.store.examination import set_aside_before
from sync.store.sqlite import PAGE_BYTES
from sync.store.store import Store
from tests.agent.shop import Shop
from tests.sync.centre import FACTS, running_centre, utc_now

NOBODY = 65534


@pytest.fixture
def settings(shop: Shop) -> Settings:
    return Settings(paths=PathSettings(state=shop.folder / "state"))


def folder_of(settings: Settings) -> Path:
    assert settings.paths.state is not None
    return Path(settings.paths.state)


def damage(store: Path) -> None:
    """One page in its middle, as a failing disk does."""
    content = bytearray(store.read_bytes())
    at = len(content) // PAGE_BYTES // 2 * PAGE_BYTES + 100
    content[at : at + 64] = bytes(64)
    store.write_bytes(content)


def test_a_machine_that_was_never_used_has_no_keys_and_gets_none(tmp_path: Path) -> None:
    fresh = Settings(paths=PathSettings(state=tmp_path / "state"))

    verdict, said = keys_said(fresh, None)

    assert (verdict, said.partition(":")[0]) == ("healthy", "none yet")
    assert store_said(fresh) is None
    assert not (tmp_path / "state").exists()


def test_keys_and_store_of_a_register_are_well_also_while_it_works(shop: Shop, settings: Settings) -> None:
    for _ in ("open", "closed"):
        assert keys_said(settings, None)[0] == "healthy"
        told = store_said(settings)
        assert told is not None
        assert told[0] == "healthy"
        assert "tables are whole" in told[1]
        shop.close()


def test_keys_that_only_the_running_agent_is_given_are_its_own(shop: Shop, settings: Settings, tmp_path: Path) -> None:
    shop.close()
    with stopped_register(settings) as register:
        status = replace(register.status(), running=True, keys="systemd credentials")
    (folder_of(settings) / STORE_KEY).rename(tmp_path / "given")

    assert keys_said(settings, status) == (
        "healthy",
        "the running agent has them (systemd credentials); nobody else is given them",
    )


def test_looking_writes_nothing(shop: Shop, settings: Settings) -> None:
    shop.close()
    before = {file.name: file.read_bytes() for file in folder_of(settings).iterdir() if file.is_file()}

    keys_said(settings, None)
    store_said(settings)

    after = {file.name: file.read_bytes() for file in folder_of(settings).iterdir() if file.is_file()}
    assert {name: after.get(name) for name in before} == before
    assert all(name.endswith(("-wal", "-shm")) for name in after.keys() - before.keys())


@pytest.mark.parametrize(("name", "mode"), [(STORE_KEY, 0o644), ("", 0o755)])
def test_keys_that_others_can_reach_are_a_problem(shop: Shop, settings: Settings, name: str, mode: int) -> None:
    shop.close()
    exposed = folder_of(settings) / name
    exposed.chmod(mode)

    verdict, said = keys_said(settings, None)

    assert verdict == "problem"
    assert f"mode {mode:04o}" in said
    assert "chmod" in said
    assert store_said(settings) is None


def test_a_store_whose_key_is_gone_or_another_is_a_problem_and_stays(shop: Shop, settings: Settings) -> None:
    shop.close()
    folder = folder_of(settings)
    content, key = (folder / "store.db").read_bytes(), folder / STORE_KEY
    kept = key.read_bytes()

    key.unlink()
    verdict, said = keys_said(settings, None)
    assert (verdict, "put the key back" in said, store_said(settings)) == ("problem", True, None)

    key.touch(mode=0o600)
    key.write_bytes(kept[::-1])
    assert keys_said(settings, None)[0] == "healthy"
    told = store_said(settings)
    assert told is not None
    assert (told[0], "does not open" in told[1]) == ("problem", True)

    key.write_bytes(kept[:-1])
    verdict, said = keys_said(settings, None)
    assert (verdict, f"not {STORE_KEY_BYTES}" in said) == ("problem", True)
    assert (folder / "store.db").read_bytes() == content


async def test_an_enrolled_register_without_its_own_key_is_a_problem(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        await enrol(parse_code(centre.code()), tmp_path, keeper_for(tmp_path), FACTS, now=utc_now())
    here = Settings(paths=PathSettings(state=tmp_path))
    assert keys_said(here, None)[0] == "healthy"

    (tmp_path / DEVICE_KEY).unlink()

    verdict, said = keys_said(here, None)
    assert (verdict, "enrol anew" in said) == ("problem", True)


async def test_the_key_of_a_register_that_was_enrolled_anew_is_the_one_that_counts(tmp_path: Path) -> None:
    here, keeper = Settings(paths=PathSettings(state=tmp_path)), keeper_for(tmp_path)
    async with running_centre(tmp_path / "centre") as centre:
        await enrol(parse_code(centre.code()), tmp_path, keeper, FACTS, now=utc_now())
        code = parse_code(centre.code())
        key = (await enrol(code, tmp_path, keeper, FACTS, now=utc_now(), replace=True)).enrolment.key
    assert keys_said(here, None) == ("healthy", f"{key} can be read ({keeper.where()})")

    (tmp_path / key).rename(tmp_path / DEVICE_KEY)

    verdict, said = keys_said(here, None)
    assert (verdict, key in said) == ("problem", True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_a_store_that_may_not_be_written_is_a_problem_with_its_remedy() -> None:
    # Given the store of a user, which somebody made read-only
    with TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        os.chown(folder, NOBODY, NOBODY)
        os.seteuid(NOBODY)
        try:
            Store.open(state / "store.db", keeper_for(state)).close()
            (state / "store.db").chmod(0o444)
            # Then doctor and the agent say so
            told = store_said(Settings(paths=PathSettings(state=state)))
            with pytest.raises(StoreUnavailableError) as refused:
                Store.open(state / "store.db", keeper_for(state))
        finally:
            os.seteuid(0)
    assert told is not None
    for said in (told[1], str(refused.value)):
        assert "chmod 0600" in said
    assert told[0] == "problem"


def test_a_damaged_store_is_a_problem_and_its_remedy_works(shop: Shop, settings: Settings) -> None:
    # Given a page that a disk gave back as zeros
    shop.close()
    store = folder_of(settings) / "store.db"
    damage(store)

    # Then it is named
    told = store_said(settings)
    assert told is not None
    verdict, said = told
    assert verdict == "problem"
    suspicion = Path(f"{store}.suspect")
    assert f"make an empty file {suspicion}" in said

    # And once that is done and the agent was started, the store is whole, and the old one is told of
    suspicion.touch()
    Store.open(store, keeper_for(store.parent)).close()
    again = store_said(settings)
    assert again is not None
    assert again[0] == "healthy"
    aside = set_aside_before(store)
    assert aside is not None
    assert f"kept as {aside.moved_to}" in again[1]


def test_what_time_did_not_suffice_for_is_not_called_whole(shop: Shop, settings: Settings) -> None:
    shop.close()

    told = store_said(settings, within_s=0)

    assert told is not None
    assert told[0] == "healthy"
    assert "; 0 of " in told[1]
    assert "the others were not read" in told[1]
