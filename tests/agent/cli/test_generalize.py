"""`tillside generalize`: nothing of this register is left in an image, and nothing is lost unasked."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from socket import create_server

import pytest

from agent.cli.enroll import enroll_command
from agent.cli.exit_codes import DONE, PROBLEM, USAGE
from agent.cli.generalize import generalize_command
from agent.control import Control, write_control
from agent.pos_token import pos_token
from agent.state import keeper_of, open_store
from agent.tokens import origin_tokens, page_tokens
from agent.updating.wish import Wish, wish
from config.load import load_settings
from drivers.relay.spool import SpoolWriter, segment_name
from sync.delayed_enrolment import DelayedCode, keep_code, kept_code
from sync.enrolment import Enrolment, EnrolmentCode, code_text, save_enrolment
from sync.keys import DEVICE_KEY, DEVICE_KEY_BYTES
from tests.agent.shop import receipt
from tests.browser.till import free_port

CODE = EnrolmentCode(url="https://centre.example:8443", token="t", ca_sha256="a" * 64)


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A register that was enrolled and ran, with all its work done."""
    file = tmp_path / "tillside.toml"
    file.write_text(
        '[paths]\nstate = "state"\n[store]\nballast_mb = 1\n[[receipts]]\nname = "printer"\nspool = "spool"\n'
        '[[scanners]]\nname = "counter"\ndriver = "shared"\nspool = "scans"\n'
    )
    settings = load_settings(file)
    state, keeper = tmp_path / "state", keeper_of(settings)
    open_store(settings, keeper).close()
    for name in (DEVICE_KEY, f"{DEVICE_KEY}-0123456789abcdef"):
        keeper.get_or_create(name, DEVICE_KEY_BYTES)
    pos_token(keeper)
    for tokens, origin in (
        (origin_tokens(state), "https://pos.example"),
        (page_tokens(state), "http://127.0.0.1:8787"),
    ):
        tokens.make(origin, "page", datetime(2026, 11, 27, tzinfo=UTC))
    enrolment = Enrolment(
        device="d1", store="12", register="3", url=CODE.url, ca_pem="", centre_epoch="e", program_key="a" * 43
    )
    save_enrolment(state, enrolment)
    keep_code(state, DelayedCode(code=CODE))
    wish(state, Wish(version="0.2.0"))
    write_control(state, Control(host="127.0.0.1", port=free_port(), token="t", pid=1))
    for folder in ("before-update", "captures"):
        (state / folder).mkdir()
        (state / folder / "store.db").touch()
    for name in ("spool", "scans"):
        spooled(tmp_path / name)
    return str(file)


def spooled(folder: Path, *, read: bool = True) -> None:
    writer = SpoolWriter(folder, cap_bytes=1_000_000)
    writer.open()
    writer.keep([receipt(1)])
    writer.close()
    (segment,) = folder.glob("*.spool")
    place = {"segment": int(segment.stem), "offset": segment.stat().st_size if read else 0}
    (folder / "acknowledged").write_text(json.dumps(place))


def test_nothing_of_the_register_is_left_but_its_settings(config: str, tmp_path: Path) -> None:
    (tmp_path / "state" / "notes.txt").touch()

    assert generalize_command(discard=False, config=config, as_json=False) == DONE

    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"tillside.toml", "state/notes.txt", "spool/lock", "scans/lock"}
    # and again, where there is nothing any more
    assert generalize_command(discard=False, config=config, as_json=True) == DONE


async def test_what_waits_for_the_centre_is_not_lost_unasked(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load_settings(config)
    store = open_store(settings, keeper_of(settings))
    await store.write(lambda writing: writing.quarantine("printer", "unreadable", "", b"?", captured=None))
    store.close()

    assert generalize_command(discard=False, config=config, as_json=False) == PROBLEM
    assert "1 for a person" in capsys.readouterr().err
    assert (tmp_path / "state" / "enrolment.json").exists()
    assert generalize_command(discard=True, config=config, as_json=False) == DONE
    assert not (tmp_path / "state" / "store.db").exists()


def test_print_jobs_that_nobody_read_are_not_lost_unasked(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "spool" / "acknowledged").unlink()

    assert generalize_command(discard=False, config=config, as_json=False) == PROBLEM
    assert "not read yet" in capsys.readouterr().err
    assert generalize_command(discard=True, config=config, as_json=False) == DONE


def test_a_segment_before_the_one_that_is_being_read_was_read(config: str, tmp_path: Path) -> None:
    # Given a spool of several segments: one that was read, which the relay has not deleted yet, and the newest
    spool = tmp_path / "spool"
    (first,) = spool.glob("*.spool")
    newest = spool / segment_name(int(first.stem) + 1)
    newest.write_bytes(first.read_bytes())
    place = {"segment": int(newest.stem), "offset": newest.stat().st_size}
    (spool / "acknowledged").write_text(json.dumps(place))

    # Then nothing of it would be lost, unless something came behind what is read
    (spool / segment_name(int(first.stem) + 2)).write_bytes(first.read_bytes())
    assert generalize_command(discard=False, config=config, as_json=False) == PROBLEM
    (spool / segment_name(int(first.stem) + 2)).unlink()
    assert generalize_command(discard=False, config=config, as_json=False) == DONE


def test_a_relay_that_runs_keeps_its_spool(config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    relay = SpoolWriter(tmp_path / "spool", cap_bytes=1_000_000)
    relay.open()
    try:
        assert generalize_command(discard=True, config=config, as_json=False) == PROBLEM
    finally:
        relay.close()

    assert "another relay" in capsys.readouterr().err
    assert (tmp_path / "state" / "store.db").exists()


def test_an_agent_that_runs_is_to_be_stopped_first(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        write_control(tmp_path / "state", Control(host="127.0.0.1", port=port, token="t", pid=1))

        assert generalize_command(discard=True, config=config, as_json=False) == PROBLEM

    assert "stop it first" in capsys.readouterr().err


# The code that waits


def fresh(folder: Path, more: str = "") -> str:
    file = folder / "fresh.toml"
    file.write_text(f'[paths]\nstate = "fresh"\n{more}')
    return str(file)


@pytest.mark.parametrize("as_json", [False, True])
def test_a_code_is_kept_for_the_agent(tmp_path: Path, as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    config = fresh(tmp_path)

    kept = enroll_command(code=code_text(CODE), replace=False, config=config, as_json=as_json, delay=True)

    assert kept == DONE
    assert kept_code(tmp_path / "fresh") == DelayedCode(code=CODE)
    assert CODE.url in capsys.readouterr().out
    assert (tmp_path / "fresh" / "enrolment-code.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("said", "settings", "kept"),
    [("7", "", "7"), (None, '[register]\nregister = "8"\n', "8"), (None, "", None)],
)
def test_a_code_that_leaves_the_register_open_is_kept_with_it(
    tmp_path: Path, said: str | None, settings: str, kept: str | None
) -> None:
    config = fresh(tmp_path, settings)
    code = code_text(EnrolmentCode(url=CODE.url, token="t", ca_sha256="a" * 64, asks_register=True))

    done = enroll_command(code=code, register=said, replace=False, config=config, as_json=False, delay=True)

    waiting = kept_code(tmp_path / "fresh")
    assert done == (DONE if kept else USAGE)
    assert (waiting.register if waiting else None) == kept


def test_a_register_that_is_said_is_kept_with_any_code(tmp_path: Path) -> None:
    enroll_command(code=code_text(CODE), register="7", replace=False, config=fresh(tmp_path), as_json=False, delay=True)

    waiting = kept_code(tmp_path / "fresh")
    assert waiting is not None
    assert waiting.register == "7"


def test_no_code_is_kept_for_a_register_that_is_enrolled(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert enroll_command(code=code_text(CODE), replace=False, config=config, as_json=False, delay=True) == PROBLEM
    assert "generalize" in capsys.readouterr().err


def test_a_register_that_is_enrolled_is_left_alone_where_that_is_asked_for(
    tmp_path: Path, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    enrolled = tmp_path / "state" / "enrolment.json"
    before = (enrolled.read_bytes(), kept_code(enrolled.parent))
    another = code_text(EnrolmentCode(url=CODE.url, token="another", ca_sha256=CODE.ca_sha256))

    # When an installer gives each machine its code, whether it has been one of ours before or not
    done = enroll_command(code=another, replace=False, config=config, as_json=False, delay=True, unless_enrolled=True)
    assert done == DONE
    assert "nothing was done" in capsys.readouterr().out
    assert (enrolled.read_bytes(), kept_code(enrolled.parent)) == before

    # Then one that was not is let in as ever
    new = fresh(tmp_path, "")
    assert (
        enroll_command(code=code_text(CODE), replace=False, config=new, as_json=False, delay=True, unless_enrolled=True)
        == DONE
    )
    assert kept_code(tmp_path / "fresh") is not None
