"""Secrets outside the database: made once, kept private, refused when others can read them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from sync.keys import DEVICE_KEY, DEVICE_KEY_BYTES, STORE_KEY, STORE_KEY_BYTES, SecretError, keeper_for
from sync.keys_linux import LinuxKeyKeeper, SecretDamagedError, SecretExposedError, SecretGivenError
from sync.keys_windows import DpapiKeyKeeper


def in_files(folder: Path) -> LinuxKeyKeeper:
    return LinuxKeyKeeper(folder / "keys", {}, folder / "no service")


def test_a_secret_is_made_once_and_found_again(tmp_path: Path) -> None:
    assert in_files(tmp_path).find(STORE_KEY, STORE_KEY_BYTES) is None

    made = in_files(tmp_path).get_or_create(STORE_KEY, STORE_KEY_BYTES)

    assert len(made) == STORE_KEY_BYTES
    assert in_files(tmp_path).get_or_create(STORE_KEY, STORE_KEY_BYTES) == made
    assert in_files(tmp_path).find(STORE_KEY, STORE_KEY_BYTES) == made
    assert in_files(tmp_path).get_or_create(DEVICE_KEY, DEVICE_KEY_BYTES) != made[:DEVICE_KEY_BYTES]


def test_files_are_private_and_nothing_else_is_left_behind(tmp_path: Path) -> None:
    in_files(tmp_path).get_or_create(STORE_KEY, STORE_KEY_BYTES)

    folder = tmp_path / "keys"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [(file.name, stat.S_IMODE(file.stat().st_mode)) for file in folder.iterdir()] == [(STORE_KEY, 0o600)]


@pytest.mark.parametrize(
    ("exposed", "mode"), [("keys", 0o755), (f"keys/{STORE_KEY}", 0o640), (f"keys/{STORE_KEY}", 0o604)]
)
def test_what_others_can_read_is_refused_with_the_remedy(tmp_path: Path, exposed: str, mode: int) -> None:
    in_files(tmp_path).get_or_create(STORE_KEY, STORE_KEY_BYTES)
    (tmp_path / exposed).chmod(mode)

    with pytest.raises(SecretExposedError, match=r"chmod 0[67]00") as refused:
        in_files(tmp_path).get_or_create(STORE_KEY, STORE_KEY_BYTES)
    assert str(tmp_path / exposed) in str(refused.value)


def test_a_folder_that_others_can_read_takes_no_new_secret(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys").chmod(0o755)

    with pytest.raises(SecretExposedError, match="chmod 0700"):
        in_files(tmp_path).get_or_create(STORE_KEY, STORE_KEY_BYTES)
    assert list((tmp_path / "keys").iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_secret_of_someone_else_is_refused(tmp_path: Path) -> None:
    in_files(tmp_path).get_or_create(STORE_KEY, STORE_KEY_BYTES)
    os.chown(tmp_path / "keys" / STORE_KEY, 12345, 12345)

    with pytest.raises(SecretExposedError, match="belongs to user 12345"):
        in_files(tmp_path).find(STORE_KEY, STORE_KEY_BYTES)


def test_a_cut_off_secret_is_refused_and_not_replaced(tmp_path: Path) -> None:
    in_files(tmp_path).get_or_create(STORE_KEY, STORE_KEY_BYTES)
    path = tmp_path / "keys" / STORE_KEY
    path.write_bytes(path.read_bytes()[:40])

    with pytest.raises(SecretDamagedError, match="40 bytes, not 48"):
        in_files(tmp_path).get_or_create(STORE_KEY, STORE_KEY_BYTES)
    assert len(path.read_bytes()) == 40


@pytest.mark.parametrize("credential", [STORE_KEY, f"tillside.{STORE_KEY}"])
def test_systemd_credentials_come_first(tmp_path: Path, credential: str) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / credential).write_bytes(bytes(range(STORE_KEY_BYTES)))
    keeper = LinuxKeyKeeper(tmp_path / "keys", {"CREDENTIALS_DIRECTORY": str(credentials)})

    assert keeper.get_or_create(STORE_KEY, STORE_KEY_BYTES) == bytes(range(STORE_KEY_BYTES))
    assert not (tmp_path / "keys").exists()


def test_a_command_goes_by_the_credentials_of_the_agent_that_runs(tmp_path: Path) -> None:
    """Else it would make a key of its own, and the agent go on with the sealed one."""
    service = tmp_path / "tillside.service"
    service.mkdir()
    (service / f"tillside.{DEVICE_KEY}").write_bytes(bytes(range(DEVICE_KEY_BYTES)))

    assert LinuxKeyKeeper(tmp_path / "keys", {}, service).get_or_create(DEVICE_KEY, DEVICE_KEY_BYTES)[-1] == 31
    # but a service that systemd gave others, or none, goes by those alone
    given = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert LinuxKeyKeeper(tmp_path / "keys", given, service).find(DEVICE_KEY, DEVICE_KEY_BYTES) is None


def test_a_credential_cannot_be_renewed_here(tmp_path: Path) -> None:
    (tmp_path / f"tillside.{STORE_KEY}").write_bytes(bytes(STORE_KEY_BYTES))
    with pytest.raises(SecretGivenError, match="credstore"):
        LinuxKeyKeeper(tmp_path / "keys", {}, tmp_path).renew(STORE_KEY, STORE_KEY_BYTES)


def test_a_secret_that_is_no_credential_is_kept_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "credentials").mkdir()
    keeper = LinuxKeyKeeper(tmp_path / "keys", {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")})

    made = keeper.get_or_create(DEVICE_KEY, DEVICE_KEY_BYTES)

    assert (tmp_path / "keys" / DEVICE_KEY).read_bytes() == made


def test_status_says_where_secrets_are(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    keeper = LinuxKeyKeeper(tmp_path / "keys", {"CREDENTIALS_DIRECTORY": str(credentials)})

    assert keeper.where() == "files, mode 0600"
    (credentials / STORE_KEY).write_bytes(bytes(STORE_KEY_BYTES))
    assert keeper.where() == "systemd credentials and files, mode 0600"
    (credentials / DEVICE_KEY).write_bytes(bytes(DEVICE_KEY_BYTES))
    assert keeper.where() == "systemd credentials"


def test_an_error_never_shows_the_secret(tmp_path: Path) -> None:
    made = in_files(tmp_path).get_or_create(STORE_KEY, STORE_KEY_BYTES)

    with pytest.raises(SecretError) as refused:
        in_files(tmp_path).get_or_create(STORE_KEY, STORE_KEY_BYTES + 1)
    assert made.hex() not in str(refused.value)
    assert repr(made) not in str(refused.value)


def test_this_machine_has_a_keeper(tmp_path: Path) -> None:
    assert isinstance(keeper_for(tmp_path), LinuxKeyKeeper)


def test_windows_says_that_it_was_not_run_there(tmp_path: Path) -> None:
    assert DpapiKeyKeeper(tmp_path).where() == "Windows DPAPI (tried under wine, not yet run on Windows)"
