"""The file for who helps has nothing of who shops, and nothing that opens anything; and it says what is wrong."""

from __future__ import annotations

import asyncio
import json
import random
import string
import zipfile
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from agent.cli.support_bundle import support_bundle_command
from agent.control import FILE_NAME as CONTROL_FILE
from agent.doctor.checks import Check, DoctorReport
from agent.pos_token import pos_token
from agent.profiles import JoinRequest, Profiles
from agent.support import MAX_LOG_LINES, bundle, scrubbed
from config.settings import ReceiptSettings, ScannerSettings, Settings
from loyalty.member import Identifier
from loyalty.pan import first_pan
from sync.keys import keeper_for
from tests.agent.shop import ANA, Shop, receipt

SEED = 20261129


class Secrets:
    """What must not be in a bundle, all of it made here."""

    def __init__(self) -> None:
        self._chance = random.Random(SEED)
        self.made: list[str] = []

    def of(self, kind: str) -> str:
        letters, digits = string.ascii_letters, string.digits
        pick = self._chance.choices
        match kind:
            case "card":
                made = "TS" + "".join(pick(digits, k=8)) + self._chance.choice(string.ascii_uppercase)
            case "telephone":
                made = "+3816" + "".join(pick(digits, k=8))
            case "mail":
                made = f"{''.join(pick(letters.lower(), k=9))}@{''.join(pick(letters.lower(), k=7))}.example"
            case "name":
                made = "".join(pick(letters.lower(), k=11)).capitalize()
            case "word":
                made = "".join(pick(letters.lower(), k=14))
            case "pan":
                body = "4" + "".join(pick(digits, k=14))
                made = next(body + last for last in digits if first_pan(body + last) is not None)
            case _:
                made = "".join(pick(letters + digits, k=22)) + "7"
        self.made.append(made)
        return made


async def planted(shop: Shop, secrets: Secrets) -> tuple[Path, list[str]]:
    """A register that holds them all, its settings file, and its log."""
    of = secrets.of
    members = [
        replace(
            ANA,
            member=f"m-{of('token')}",
            identifiers=(Identifier(kind="card", code=of("card")),),
            short_name=of("name"),
            note=of("name"),
        )
        for _ in range(12)
    ]
    await shop.seed(members)
    profiles = Profiles(shop.store)
    for number in range(12):
        request = JoinRequest(
            short_name=of("name"), phone=of("telephone"), email=of("mail"), note=of("name"), address=of("name")
        )
        await profiles.join(request, f"join-{number}-{of('token')}")
    for number in range(8):
        shop.print(receipt(number, head=f"KUPAC {of('name')} {of('telephone')}\n"), 30 + number)
        shop.print(f"\x1b@UNREADABLE {of('name')} {of('pan')} {of('card')}\n\x1dV\x00".encode(), 60 + number)
    await shop.take_all()
    state = shop.folder / "state"
    secrets.made.append(pos_token(keeper_for(state)))
    (state / CONTROL_FILE).write_text(json.dumps({"host": "127.0.0.1", "port": 9, "token": of("token"), "pid": 1}))
    settings = shop.folder / "tillside.toml"
    settings.write_text(
        f'''[register]
store = "{of("token")}"
currency = "RSD"
[paths]
state = "state"
[centre]
proxy = "http://{of("name")}:{of("token")}@proxy.example:3128"
[[scanners]]
name = "{of("word")}"
driver = "serial"
port = "/dev/serial/by-id/usb-{of("name")}_{of("token")}-if00"
baud = 19200
[[receipts]]
name = "pos"
webhook = true
authoritative = true
[[receipts]]
name = "{of("word")}"
folder = "/srv/pos/{of("name")} {of("name")}"
'''
    )
    log = [json.dumps({"event": "exchange_failed", "level": "info", "error": "Timeout", "status": 503, "step": "Send"})]
    for kind in ("card", "telephone", "mail", "name", "pan", "token") * 8:
        secret = of(kind)
        log += [json.dumps({"event": "x", "detail": secret}), f"Traceback: {secret}", json.dumps([secret])]
        if kind != "name":
            log.append(json.dumps({"event": "x", "error": f"at https://{secret}/a?b={secret} with {secret}"}))
        log.append(json.dumps({"event": "x", "reason": f"'{secret}' is no number"}))
    for said in ("password={}", "Authorization: Bearer {}", "token {} is refused", "pwd: {}", "lozinka {}"):
        log.append(json.dumps({"event": "x", "error": said.format(of("word"))}))
    for path in ("/srv/pos/{} {}/bon.json is gone", "/Users/{} is full", r"C:\Users\{} {}", r"\\srv\{}\{} x\y: away"):
        log.append(json.dumps({"event": "x", "error": path.format(of("name"), secrets.made[-1])}))
    return settings, log


async def test_none_of_two_hundred_secrets_is_in_it_and_what_is_wrong_is(shop: Shop, tmp_path: Path) -> None:
    secrets = Secrets()
    settings, log = await planted(shop, secrets)
    shop.close()
    assert len(secrets.made) >= 200

    out = tmp_path / "bundle.zip"
    done = await asyncio.to_thread(
        support_bundle_command, out=str(out), config=str(settings), as_json=False, log=lambda: log
    )

    assert done == 0
    with zipfile.ZipFile(out) as archive:
        files = {name: archive.read(name).decode() for name in archive.namelist()}
    assert set(files) == {"about.json", "settings.json", "status.json", "queue.json", "doctor.json", "log.jsonl"}
    told = "\n".join(files.values())
    assert [secret for secret in secrets.made if secret in told or secret in repr(files)] == []
    # and yet it helps
    assert json.loads(files["settings.json"])["scanners"][0]["options"]["baud"] == 19200
    assert len(json.loads(files["queue.json"])["quarantined"]) >= 8
    assert "exchange_failed" in files["log.jsonl"]
    # What settings.json hides is told by its place there
    assert [source["name"] for source in json.loads(files["status.json"])["sources"]] == ["source 1", "source 2"]
    assert json.loads(files["status.json"])["quarantined"] >= 8
    assert {check["area"] for check in json.loads(files["doctor.json"])} >= {"settings", "agent", "disk"}


def test_what_settings_hide_is_told_by_its_place_there(tmp_path: Path) -> None:
    scanner = ScannerSettings(name="marija-kasa", options={"port": "/dev/ttyACM0", "product": "pultic"})
    settings = Settings(scanners=(scanner,), receipts=(ReceiptSettings(name="serial", webhook=True),))
    said = "marija-kasa at /dev/ttyACM0 (pultic) is read by the driver serial, which waits"
    check = Check(area="scanner", name="marija-kasa", verdict="problem", said=said)

    files = bundle(
        about={},
        settings=settings,
        status=None,
        doctor=DoctorReport(verdict="problem", checks=(check,)),
        queue=None,
        log=[json.dumps({"event": "x", "worker": "marija-kasa"})],
        failed={},
    )

    [told] = json.loads(files["doctor.json"])
    assert told["said"] == "scanner 1 at /dev/ttyACM0 (…) is read by the driver serial, which waits"
    assert json.loads(files["log.jsonl"])["worker"] == "scanner 1"


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("port /dev/ttyACM0 of 192.168.1.50:9100 is busy", "port /dev/ttyACM0 of 192.168.1.50:9100 is busy"),
        ("no answer since 2026-11-29T10:42:00+00:00", "no answer since 2026-11-29T10:42:00+00:00"),
        ("72418 MB free, 12 waits", "72418 MB free, 12 waits"),
        ("proxy http://ana:geheim@proxy.example:3128 refused", "proxy http://… refused"),
        ("card TS10015857B is unknown", "card … is unknown"),
        ("call +381 64 123 45 67", "call …"),
        ("write to ana.p@shop.example", "write to …@…"),
        ("'Ana Petrović' is no number", "'…' is no number"),
        ("/home/ana/state cannot be written", "/home/… cannot be written"),
        (r"C:\Users\Ana Novak\state is full", r"C:\… is full"),
        ("this card's member 'Ana Novak' is gone", "this card's member '…' is gone"),
        ("“Ana” and ‘Novak’ and »Mila«", "'…' and '…' and '…'"),
        ("voucher VK7Q 2F9M XRT4 of card TS101 in CP852", "voucher … of card … in CP852"),
        (r"C:\Users\ana\state cannot be written", r"C:\… cannot be written"),
        ("4111 1111 1111 1111 was read", "… was read"),
        ("IBAN DE89 3704 0044 0532 0130 00 of nobody", "… of nobody"),
        ("cannot open /srv/pos/Ljubica Jovanovic/bon.json: see to it", "cannot open /srv/…: see to it"),
        ("/Users/ana, /root/x and /home/ana kovac/x", "/Users/…, /root/… and /home/…"),
        (r"C:\Users\Ana Kovac", r"C:\…"),
        (r"\\srv\share\Ana is away", r"\\… is away"),
        ("/var/lib/tillside/store.db is damaged", "/var/lib/tillside/store.db is damaged"),
        ("/var/lib/tillside/ana is damaged", "/var/… is damaged"),
        ("/dev/serial/by-id/usb-Acme_4711 is away", "/dev/… is away"),
        ("password=geheimwort and pwd: geheimwort", "password=… and pwd: …"),
        ("Authorization: Bearer abcdefghijkl", "Authorization: Bearer …"),
        ("token sk_live_abcdefgh is gone", "token … is gone"),
        ("card 9912 and code ABC-DEF-GHI", "card … and code …"),
        ("the password is wrong", "the password is wrong"),
    ],
)
def test_a_sentence_keeps_what_helps(said: str, left: str) -> None:
    assert scrubbed(said) == left


def test_what_cannot_be_looked_at_is_said_and_a_log_is_bounded() -> None:
    log = [json.dumps({"event": f"e{number % 7}"}) for number in range(MAX_LOG_LINES + 5)]
    files = bundle(
        about={}, settings=None, status=None, doctor=None, queue=None, log=log, failed={"status.json": "see 'x'"}
    )
    about: dict[str, Any] = json.loads(files["about.json"])
    assert about["not_there"] == {"status.json": "see '…'"}
    assert set(files) == {"about.json", "log.jsonl"}
    assert len(files["log.jsonl"].splitlines()) == MAX_LOG_LINES


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = tmp_path / "tillside.toml"
    settings.write_text('[paths]\nstate = "state"\n')
    out = tmp_path / "nowhere" / "bundle.zip"

    done = support_bundle_command(out=str(out), config=str(settings), as_json=False, log=list)

    assert done == 1
    assert "name another file with --out" in capsys.readouterr().err


def test_settings_that_cannot_be_read_are_no_reason_for_no_bundle(tmp_path: Path) -> None:
    settings, out = tmp_path / "tillside.toml", tmp_path / "bundle.zip"
    settings.write_text('[centre]\nproxyy = "http://u:geheim-17@x"\n')

    assert support_bundle_command(out=str(out), config=str(settings), as_json=True, log=list) == 0

    with zipfile.ZipFile(out) as archive:
        about = json.loads(archive.read("about.json"))
    assert "proxyy" in about["not_there"]["settings.json"]
    assert "geheim-17" not in str(about)
