"""Releases of a centre that runs, proven at the register; and what somebody in between, or at the centre, may try."""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, Snapshot, Timestamp

from agent.updating import versions
from agent.updating.releases import ReleaseRefusedError, Releases, ReleaseUnreachableError, archive_name
from agent.updating.versions import NoRoomError
from central.release_folder import ReleaseError, ReleaseFolder, new_root_key, signer_of
from central.server import Server
from tests.faults.proxy import Fault, FaultyProxy
from tests.sync.centre import Centre, running_centre

PASSPHRASE = b"of a test"
NOW = datetime.now(UTC)
VERSION = "0.2.0"
MEGABYTE = 1024 * 1024


class Chain:
    """A centre with releases, and a register that trusts its first root."""

    def __init__(self, centre: Centre, folder: Path) -> None:
        self.centre = centre
        self.folder = folder
        self.keys = folder / "keys"
        self.releases = ReleaseFolder(centre.folder.releases)
        self.releases.create(self.keys, PASSPHRASE, NOW)
        self.root = self.releases.first_root()

    def publish(self, version: str = VERSION, content: bytes = b"a version", *, now: datetime = NOW) -> None:
        archive = self.folder / archive_name(version)
        archive.write_bytes(content)
        self.releases.publish([archive], signer_of(self.keys / "targets.pem", PASSPHRASE), now)

    async def fetched(
        self, version: str = VERSION, *, at: str = "register", root: bytes | None = None, over: str | None = None
    ) -> bytes:
        register = self.folder / at
        releases = Releases(
            url=over or self.centre.url,
            ca_pem=self.centre.folder.ca_certificate.read_text(),
            root=root or self.root,
            metadata=register / "metadata",
        )
        path = await asyncio.to_thread(releases.fetch, version, register / "archives")
        return path.read_bytes()

    def served(self, pattern: str) -> Path:
        [path] = self.releases.path.glob(pattern)
        return path


@pytest.fixture
async def chain(tmp_path: Path) -> AsyncIterator[Chain]:
    async with running_centre(tmp_path / "centre", members=1) as centre:
        yield Chain(centre, tmp_path)


async def test_a_release_is_proven_and_fetched(chain: Chain) -> None:
    chain.publish()
    assert await chain.fetched() == b"a version"
    # one that is there is not fetched again
    chain.served("targets/*").unlink()
    assert await chain.fetched() == b"a version"


async def test_a_machine_of_another_kind_is_told_so(chain: Chain) -> None:
    with pytest.raises(ReleaseRefusedError, match="needs a build of its own"):
        await chain.fetched()


async def test_a_tampered_archive_is_refused(chain: Chain) -> None:
    chain.publish()
    chain.served("targets/*").write_bytes(b"a versioN")
    with pytest.raises((ReleaseRefusedError, ReleaseUnreachableError)):
        await chain.fetched()
    assert not list((chain.folder / "register" / "archives").iterdir())


async def test_what_came_of_an_archive_before_the_network_broke_is_not_fetched_again(chain: Chain) -> None:
    # Given an archive of some MB, and a network over which no connection lasts so long
    content = secrets.token_bytes(3 * MEGABYTE)
    chain.publish(content=content)
    async with FaultyProxy("127.0.0.1", chain.centre.port, lambda _: Fault(cut_answer_after=MEGABYTE // 4)) as network:
        with pytest.raises(ReleaseUnreachableError, match="broken off"):
            await chain.fetched(over=f"https://127.0.0.1:{network.port}")
    [part] = (chain.folder / "register" / "archives").iterdir()
    came = part.stat().st_size
    assert MEGABYTE < came < len(content)

    # When the centre has that beginning no more
    with chain.served("targets/*").open("r+b") as kept:
        kept.write(bytes(came))

    # Then it is whole all the same, and nothing else is left
    assert await chain.fetched() == content
    assert [one.name for one in (chain.folder / "register" / "archives").iterdir()] == [archive_name(VERSION)]


async def test_an_archive_for_which_there_is_no_room_is_not_begun(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain.publish()
    monkeypatch.setattr(versions, "SPARE_BYTES", 2**60)
    with pytest.raises(NoRoomError, match="MB more are needed"):
        await chain.fetched()
    assert not list((chain.folder / "register" / "archives").iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is full is Linux's")
async def test_a_disk_that_fills_up_meanwhile_gets_its_room_back(chain: Chain) -> None:
    # Given a disk on which all but the last of an archive's copies has room
    chain.publish()
    archives = chain.folder / "register" / "archives"
    archives.mkdir(parents=True)
    (archives / archive_name(VERSION)).symlink_to("/dev/full")

    with pytest.raises(NoRoomError, match="is full"):
        await chain.fetched()

    assert not list(archives.iterdir())
    assert await chain.fetched() == b"a version"


@pytest.mark.parametrize("came", [b"not", b"not of it, and too long for it"])
async def test_a_wrong_beginning_is_refused_and_forgotten(chain: Chain, came: bytes) -> None:
    chain.publish()
    archives = chain.folder / "register" / "archives"
    archives.mkdir(parents=True)
    (archives / f"{chain.served('targets/*').name}.part").write_bytes(came)

    with pytest.raises(ReleaseRefusedError):
        await chain.fetched()

    assert await chain.fetched() == b"a version"


async def test_a_lost_key_of_releases_is_replaced_by_two_of_the_roots(chain: Chain) -> None:
    chain.publish()
    assert await chain.fetched() == b"a version"
    one, two = (signer_of(chain.keys / f"root-{number}.pem", PASSPHRASE) for number in (1, 2))
    lost = chain.releases.releases_key()

    chain.releases.sign_root([one, two], NOW, {lost: new_root_key(chain.keys / "targets-2.pem", PASSPHRASE)})

    # What was released stays so, at registers that knew the old key and at others; the old one signs nothing any more
    assert chain.releases.releases_key() != lost
    assert await chain.fetched() == b"a version"
    assert await chain.fetched(at="another") == b"a version"
    with pytest.raises(ReleaseError, match="signs no releases"):
        chain.publish("0.3.0")
    (chain.folder / "keys" / "targets-2.pem").replace(chain.keys / "targets.pem")
    chain.publish("0.3.0")
    assert await chain.fetched("0.3.0") == b"a version"
    with pytest.raises(ReleaseError, match="no key"):
        chain.releases.sign_root([one, two], NOW, {lost: one})


async def test_one_that_only_the_centre_signed_is_refused(chain: Chain) -> None:
    """Whoever has taken over the centre has its key, and not that of the releases."""
    chain.publish()
    metadata = chain.served("metadata/2.targets.json")
    before = metadata.read_bytes()
    metadata.write_bytes(re.sub(rb'("length": ?)9', rb"\g<1>8", before))
    assert metadata.read_bytes() != before
    with pytest.raises(ReleaseRefusedError, match="not signed as it has to be"):
        await chain.fetched()
    with pytest.raises(ReleaseError, match="signs no releases"):
        chain.releases.publish([], signer_of(chain.releases.path / "online.pem", b""), NOW)


async def test_going_back_to_an_earlier_word_is_refused(chain: Chain, tmp_path: Path) -> None:
    chain.publish()
    before = tmp_path / "before"
    shutil.copytree(chain.releases.metadata, before)
    chain.publish("0.3.0", now=NOW + timedelta(seconds=2))
    assert await chain.fetched("0.3.0") == b"a version"
    shutil.rmtree(chain.releases.metadata)
    shutil.copytree(before, chain.releases.metadata)
    with pytest.raises(ReleaseRefusedError):
        await chain.fetched("0.3.0")
    # a register that never saw more is not wiser; nor does it get anything else than was released
    assert await chain.fetched(VERSION, at="another") == b"a version"


async def test_a_word_that_is_held_back_gets_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a centre that somebody keeps from saying it anew
    monkeypatch.setattr(Server, "_release", lambda *_: asyncio.sleep(0))
    async with running_centre(tmp_path / "centre", members=1) as centre:
        chain = Chain(centre, tmp_path)
        chain.publish(now=NOW - timedelta(days=8))
        with pytest.raises(ReleaseRefusedError, match="held back, or this machine's clock is wrong"):
            await chain.fetched()
        # the centre says it anew while it serves
        assert chain.releases.renew(NOW) == {}
        assert await chain.fetched() == b"a version"


async def test_a_root_needs_two_keys_and_follows_the_first(chain: Chain) -> None:
    chain.publish()
    one, two = (signer_of(chain.keys / f"root-{number}.pem", PASSPHRASE) for number in (1, 2))
    with pytest.raises(ReleaseError, match="bring another"):
        chain.releases.sign_root([one], NOW, {})
    lost = signer_of(chain.keys / "root-3.pem", PASSPHRASE).public_key.keyid
    chain.releases.sign_root([one, two], NOW, {lost: new_root_key(chain.keys / "root-4.pem", PASSPHRASE)})
    assert lost not in chain.releases.root_keys()
    assert await chain.fetched() == b"a version"
    # the lost key counts no more
    with pytest.raises(ReleaseError, match="bring another"):
        chain.releases.sign_root([one, signer_of(chain.keys / "root-3.pem", PASSPHRASE)], NOW, {})


def far_ahead(folder: ReleaseFolder) -> None:
    """What somebody with the centre's own key can say: there is nothing newer, for ever."""
    key, metadata = signer_of(folder.path / "online.pem", b""), folder.metadata
    snapshot = Metadata[Snapshot].from_bytes(max(metadata.glob("*.snapshot.json")).read_bytes())
    timestamp = Metadata[Timestamp].from_bytes((metadata / "timestamp.json").read_bytes())
    snapshot.signed.version = timestamp.signed.version = timestamp.signed.snapshot_meta.version = 2**31
    snapshot.sign(key)
    timestamp.sign(key)
    (metadata / f"{2**31}.snapshot.json").write_bytes(snapshot.to_bytes())
    (metadata / "timestamp.json").write_bytes(timestamp.to_bytes())


@pytest.mark.parametrize("cut_off", [False, True])
async def test_a_stolen_key_of_the_centre_is_replaced_and_what_it_said_forgotten(chain: Chain, cut_off: bool) -> None:
    # Given a register that was told, by the stolen key, of the newest word that there can be
    chain.publish()
    before = chain.releases.path / "online.pem"
    stolen = before.read_bytes()
    far_ahead(chain.releases)
    assert await chain.fetched() == b"a version"

    # When two of the root's keys give the centre another one, also where that is cut off before it is in its place
    for path in chain.releases.metadata.glob(f"{2**31}.*"):
        path.unlink()
    chain.publish("0.2.9", b"held back")
    with pytest.raises(ReleaseRefusedError):
        await chain.fetched("0.2.9")
    one, two = (signer_of(chain.keys / name, PASSPHRASE) for name in ("root-1.pem", "root-2.pem"))
    chain.releases.sign_root([one, two], NOW, {}, new_online=True)
    assert before.read_bytes() != stolen
    if cut_off:
        before.rename(before.with_name("online.new.pem"))
        before.write_bytes(stolen)
        last_word = chain.releases.metadata / "timestamp.json"
        said = Metadata[Timestamp].from_bytes(last_word.read_bytes())
        said.sign(signer_of(before, b""))
        last_word.write_bytes(said.to_bytes())
        with pytest.raises(ReleaseRefusedError):
            await chain.fetched()
        chain.releases.renew(NOW)
        assert before.read_bytes() != stolen

    # Then it goes on from there, and the stolen key counts no more
    chain.publish("0.3.0", b"the next")
    assert await chain.fetched("0.3.0") == b"the next"
    before.write_bytes(stolen)
    far_ahead(chain.releases)
    with pytest.raises(ReleaseRefusedError):
        await chain.fetched("0.3.0")


async def test_releases_of_another_chain_are_refused(chain: Chain, tmp_path: Path) -> None:
    chain.publish()
    stranger = ReleaseFolder(tmp_path / "stranger")
    stranger.create(tmp_path / "strange-keys", PASSPHRASE, NOW)
    with pytest.raises(ReleaseRefusedError):
        await chain.fetched(root=stranger.first_root())


async def test_a_centre_without_releases_or_an_answer_is_asked_again_later(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre", members=1) as centre:
        chain = Chain(centre, tmp_path)
        chain.served("metadata/timestamp.json").unlink()
        with pytest.raises(ReleaseUnreachableError):
            await chain.fetched()
    with pytest.raises(ReleaseUnreachableError):
        await chain.fetched()


async def test_nothing_else_of_the_centre_is_served(chain: Chain) -> None:
    from central.releases import release_file

    folder = chain.releases.path
    assert release_file(folder, "metadata", "1.root.json") is not None
    for kind, name in (("metadata", "../online.pem"), ("..", "centre.json"), (".", "online.pem"), ("targets", ".x")):
        assert release_file(folder, kind, name) is None


def test_a_release_is_never_made_over_another(tmp_path: Path) -> None:
    folder = ReleaseFolder(tmp_path / "releases")
    with pytest.raises(ReleaseError, match="no releases yet"):
        folder.released()
    with pytest.raises(ReleaseError, match="passphrase"):
        folder.create(tmp_path / "keys", b"", NOW)
    folder.create(tmp_path / "keys", PASSPHRASE, NOW)
    with pytest.raises(ReleaseError, match="has releases already"):
        folder.create(tmp_path / "others", PASSPHRASE, NOW)
    with pytest.raises(ReleaseError, match="never written over"):
        ReleaseFolder(tmp_path / "second").create(tmp_path / "keys", PASSPHRASE, NOW)
    archive = tmp_path / archive_name(VERSION)
    archive.write_bytes(b"one")
    signer = signer_of(tmp_path / "keys" / "targets.pem", PASSPHRASE)
    folder.publish([archive], signer, NOW)
    archive.write_bytes(b"two")
    with pytest.raises(ReleaseError, match="another content"):
        folder.publish([archive], signer, NOW)
    with pytest.raises(ReleaseError, match="is the passphrase its own"):
        signer_of(tmp_path / "keys" / "targets.pem", b"wrong")


def test_a_centre_that_was_put_back_is_believed_again(tmp_path: Path) -> None:
    """What it says counts by time, which a backup does not put back."""
    folder = ReleaseFolder(tmp_path / "releases")
    folder.create(tmp_path / "keys", PASSPHRASE, NOW)
    shutil.copytree(folder.path, tmp_path / "backup")
    for day in range(1, 20):
        folder.renew(NOW + timedelta(days=3 * day))
    seen = max(path.name for path in folder.metadata.glob("*.snapshot.json"))
    restored = ReleaseFolder(tmp_path / "backup")
    assert restored.renew(NOW + timedelta(days=70)) == {}
    soon = restored.renew(NOW + timedelta(days=320))
    assert list(soon) == ["targets"]
    assert max(path.name for path in restored.metadata.glob("*.snapshot.json")) > seen
    assert len(list(folder.metadata.glob("*.snapshot.json"))) <= 4
