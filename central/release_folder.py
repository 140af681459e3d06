"""Releases as files that a register can prove: the metadata and targets of The Update Framework.

Owns who signs what, and for how long. The root is signed by two of three keys that are kept away from every network;
a release by a key of its own, which is brought when something is released; what says that all this is still so, by a
key of the centre, anew while it serves. Whoever takes over the centre can hold a release back, for as long as the last
such word is good, and can release nothing. Sources: The Update Framework's specification 1.0.31, sections 5 and 6.

Never decides which register takes a release (`central.rings` does), and keeps nothing else.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from sync.durable import sync_folder, write_private

ROOT_KEYS: Final = 3
ROOT_THRESHOLD: Final = 2
# Registers refuse what is older than this. The root's keys are far away, and are brought once in this time.
ROOT_GOOD_FOR: Final = timedelta(days=730)
TARGETS_GOOD_FOR: Final = timedelta(days=365)
SNAPSHOT_GOOD_FOR: Final = timedelta(days=30)
# So long can a register be told that nothing is new while something is.
TIMESTAMP_GOOD_FOR: Final = timedelta(days=7)
# The centre signs anew when a third of the time is over.
RENEWED_AFTER: Final = 1 / 3
# So long before a person's signature ends it is asked for.
SIGNED_AGAIN_BEFORE: Final = timedelta(days=60)
# A register that is just reading goes by the timestamp before.
KEPT_SNAPSHOTS: Final = 4
MAX_ARCHIVE_BYTES: Final = 200 * 1024 * 1024
ROOT_KEY_NAMES: Final = tuple(f"root-{number}.pem" for number in range(1, ROOT_KEYS + 1))
TARGETS_KEY_NAME: Final = "targets.pem"

S = TypeVar("S", Root, Targets, Snapshot, Timestamp)


class ReleaseError(ValueError):
    """A release cannot be made so. The message says what to do."""


class ReleaseFolder:
    """`releases/` of a centre's data folder: `metadata/`, `targets/`, and the centre's own key."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metadata = path / "metadata"
        self.targets = path / "targets"
        self._online_key = path / "online.pem"
        self._next_online_key = path / "online.new.pem"

    def is_set_up(self) -> bool:
        return (self.metadata / "1.root.json").exists()

    def create(self, keys: Path, passphrase: bytes, now: datetime) -> None:
        """Makes all keys, the release's in `keys`, and the first metadata. Raises ReleaseError where there are some."""
        if self.is_set_up():
            raise ReleaseError(f"{self.path} has releases already; `release root` signs their root anew")
        if not passphrase:
            raise ReleaseError("keys without a passphrase can be used by whoever finds them: give one")
        keys.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = (*ROOT_KEY_NAMES, TARGETS_KEY_NAME)
        there = next((name for name in names if (keys / name).exists()), None)
        if there is not None:
            raise ReleaseError(f"{keys / there} is there already; name another folder, keys are never written over")
        for folder in (self.path, self.metadata, self.targets):
            folder.mkdir(mode=0o700, exist_ok=True)
        made = {name: Ed25519PrivateKey.generate() for name in names}
        for name, key in made.items():
            write_private(
                keys / name, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase))
            )
        online = _made(self._online_key)
        signers = [CryptoSigner(made[name]) for name in ROOT_KEY_NAMES]
        root = Root(version=1, expires=_whole(now + ROOT_GOOD_FOR), consistent_snapshot=True)
        for signer in signers:
            root.add_key(signer.public_key, Root.type)
        root.roles[Root.type].threshold = ROOT_THRESHOLD
        root.add_key(CryptoSigner(made[TARGETS_KEY_NAME]).public_key, Targets.type)
        for role in (Snapshot.type, Timestamp.type):
            root.add_key(online.public_key, role)
        targets = Metadata(Targets(version=1, expires=_whole(now + TARGETS_GOOD_FOR)))
        self._put(targets, [CryptoSigner(made[TARGETS_KEY_NAME])], "1.targets.json")
        self._tell_of(1, now)
        # Last: from now on it is set up.
        self._put(Metadata(root), signers, "1.root.json")

    def first_root(self) -> bytes:
        """What every register is given by hand, with its settings: it is what all trust begins with."""
        return (self.metadata / "1.root.json").read_bytes()

    def sign_root(
        self,
        signers: Sequence[CryptoSigner],
        now: datetime,
        replaced: Mapping[str, CryptoSigner],
        *,
        new_online: bool = False,
    ) -> None:
        """The next root, good for longer; `replaced` are new keys by the id of the one whose place they take: of the
        root, or of who signs releases, by whom they are signed anew at once. With `new_online` the centre gets another
        key of its own, and registers forget what was said by the one before, however new that was.

        Raises ReleaseError where fewer than two of the keys in force sign.
        """
        version, before = self._newest(Root)
        root = before.signed
        new: dict[str, list[CryptoSigner]] = {Root.type: [], Targets.type: []}
        for keyid, signer in replaced.items():
            role = next((one for one in new if keyid in root.roles[one].keyids), None)
            if role is None:
                raise ReleaseError(f"no key {keyid} signs the root or releases")
            root.revoke_key(keyid, role)
            root.add_key(signer.public_key, role)
            new[role].append(signer)
        if new_online:
            self._replace_online(root)
        root.version = version + 1
        root.expires = _whole(now + ROOT_GOOD_FOR)
        signed = Metadata(root)
        for signer in (*signers, *new[Root.type]):
            signed.sign(signer, append=True)
        old = Metadata[Root].from_bytes((self.metadata / f"{version}.root.json").read_bytes()).signed
        for judge in (old, root):
            try:
                judge.verify_delegate(Root.type, signed.signed_bytes, signed.signatures)
            except RepositoryError as error:
                raise ReleaseError(
                    f"a root is signed by {ROOT_THRESHOLD} of the {ROOT_KEYS} keys in force, and by as many of those "
                    f"that will be: bring another ({error})"
                ) from error
        _write(self.metadata / f"{version + 1}.root.json", signed.to_bytes())
        if new_online:
            with self._alone():
                self._tell_of(self._newest(Targets)[0], now)
        for signer in new[Targets.type]:
            with self._alone():
                known, targets = self._newest(Targets)
                self._sign_targets(targets, known + 1, signer, now)
                self._tell_of(known + 1, now)

    def _replace_online(self, root: Root) -> None:
        """It takes its place once that root is written."""
        made = _made(self._next_online_key).public_key
        for kind in (Snapshot.type, Timestamp.type):
            for keyid in tuple(root.roles[kind].keyids):
                root.revoke_key(keyid, kind)
            root.add_key(made, kind)

    def releases_key(self) -> str:
        """The id of the key that signs releases."""
        return str(self._newest(Root)[1].signed.roles[Targets.type].keyids[0])

    def root_keys(self) -> tuple[str, ...]:
        """The ids of the keys that sign the root."""
        return tuple(self._newest(Root)[1].signed.roles[Root.type].keyids)

    def publish(self, archives: Sequence[Path], signer: CryptoSigner, now: datetime) -> None:
        """Adds files to what registers can prove. Raises ReleaseError; then nothing is published."""
        with self._alone():
            self._publish(archives, signer, now)

    def _publish(self, archives: Sequence[Path], signer: CryptoSigner, now: datetime) -> None:
        version, targets = self._newest(Targets)
        for archive in archives:
            size = archive.stat().st_size
            if size > MAX_ARCHIVE_BYTES:
                raise ReleaseError(f"{archive} has {size} bytes; registers read {MAX_ARCHIVE_BYTES} at most")
            target = TargetFile.from_file(archive.name, str(archive), ["sha256"])
            known = targets.signed.targets.get(archive.name)
            if known is not None and known.hashes != target.hashes:
                raise ReleaseError(f"{archive.name} was released with another content: give the build a new version")
            kept = self.targets / f"{target.hashes['sha256']}.{archive.name}"
            if not kept.exists():
                beside = self.targets / f".{archive.name}.new"
                shutil.copyfile(archive, beside)
                with beside.open("rb+") as file:
                    os.fsync(file.fileno())
                beside.replace(kept)
            targets.signed.targets[archive.name] = target
        sync_folder(self.targets)
        self._sign_targets(targets, version + 1, signer, now)
        self._tell_of(version + 1, now)

    def released(self) -> tuple[str, ...]:
        """The names of all files that registers can prove."""
        return tuple(sorted(self._newest(Targets)[1].signed.targets))

    def expires(self) -> dict[str, datetime]:
        """Until when registers take each kind of metadata as it is."""
        return {
            Root.type: self._newest(Root)[1].signed.expires,
            Targets.type: self._newest(Targets)[1].signed.expires,
            Snapshot.type: self._newest(Snapshot)[1].signed.expires,
            Timestamp.type: self._timestamp().signed.expires,
        }

    def renew(self, now: datetime) -> dict[str, datetime]:
        """Says anew that all is still so, where that was some time ago. What a person has to sign soon, and by when.

        Raises ReleaseError where the folder cannot be read, OSError.
        """
        if not self.is_set_up():
            return {}
        with self._alone():
            try:
                since = self._timestamp().signed.expires - TIMESTAMP_GOOD_FOR
                if now >= since + TIMESTAMP_GOOD_FOR * RENEWED_AFTER or self._has_another_key():
                    self._tell_of(self._newest(Targets)[0], now)
                ends = self.expires()
            except RepositoryError as error:
                raise ReleaseError(f"{self.metadata} is damaged ({error}); put it back from a copy") from error
        return {kind: ends[kind] for kind in (Root.type, Targets.type) if ends[kind] - now < SIGNED_AGAIN_BEFORE}

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """The centre that serves and a command sign one after the other."""
        with (self.path / "lock").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield

    def _sign_targets(self, targets: Metadata[Targets], version: int, signer: CryptoSigner, now: datetime) -> None:
        targets.signed.version = version
        targets.signed.expires = _whole(now + TARGETS_GOOD_FOR)
        targets.sign(signer)
        try:
            root = self._newest(Root)[1].signed
            root.verify_delegate(Targets.type, targets.signed_bytes, targets.signatures)
        except RepositoryError as error:
            raise ReleaseError("that key signs no releases of this centre; bring its targets.pem") from error
        _write(self.metadata / f"{version}.targets.json", targets.to_bytes())

    def _tell_of(self, targets: int, now: datetime) -> None:
        """The snapshot of all, and then the word that it is the newest: nobody sees half of it."""
        signer = self._online()
        # A centre that was put back from a backup goes on above what registers have seen, since time went on.
        version = max([int(now.timestamp()), *(one + 1 for one in self._versions(Snapshot))])
        snapshot = Snapshot(version=version, expires=_whole(now + SNAPSHOT_GOOD_FOR))
        snapshot.meta["targets.json"] = MetaFile(version=targets)
        self._put(Metadata(snapshot), [signer], f"{version}.snapshot.json")
        timestamp = Timestamp(version=version, expires=_whole(now + TIMESTAMP_GOOD_FOR))
        timestamp.snapshot_meta = MetaFile(version=version)
        self._put(Metadata(timestamp), [signer], "timestamp.json")
        for old in sorted(self._versions(Snapshot))[:-KEPT_SNAPSHOTS]:
            (self.metadata / f"{old}.snapshot.json").unlink()

    def _online(self) -> CryptoSigner:
        """The centre's own key. One that was made for a root that is in force by now takes its place."""
        if self._next_online_key.exists():
            coming = CryptoSigner(_loaded(self._next_online_key, None))
            if coming.public_key.keyid in self._newest(Root)[1].signed.roles[Timestamp.type].keyids:
                self._next_online_key.replace(self._online_key)
                sync_folder(self.path)
        return CryptoSigner(_loaded(self._online_key, None))

    def _has_another_key(self) -> bool:
        """Than that by which it was told last: the command that replaced it was cut off."""
        keyids = self._newest(Root)[1].signed.roles[Timestamp.type].keyids
        return not set(self._timestamp().signatures) & set(keyids)

    def _put(self, metadata: Metadata[S], signers: Sequence[CryptoSigner], name: str) -> None:
        for signer in signers:
            metadata.sign(signer, append=True)
        _write(self.metadata / name, metadata.to_bytes())

    def _timestamp(self) -> Metadata[Timestamp]:
        return Metadata[Timestamp].from_bytes((self.metadata / "timestamp.json").read_bytes())

    def _versions(self, kind: type[S]) -> list[int]:
        found = (path.name.partition(".")[0] for path in self.metadata.glob(f"*.{kind.type}.json"))
        return [int(version) for version in found if version.isdigit()]

    def _newest(self, kind: type[S]) -> tuple[int, Metadata[S]]:
        versions = self._versions(kind)
        if not versions:
            raise ReleaseError(f"{self.path} has no releases yet; run: tillside-central release init")
        newest = max(versions)
        return newest, Metadata[S].from_bytes((self.metadata / f"{newest}.{kind.type}.json").read_bytes())


def signer_of(path: Path, passphrase: bytes) -> CryptoSigner:
    """The key of a file. Raises ReleaseError."""
    return CryptoSigner(_loaded(path, passphrase or None))


def new_root_key(path: Path, passphrase: bytes) -> CryptoSigner:
    """Makes one more key for the root. Raises ReleaseError where the file is there."""
    if path.exists():
        raise ReleaseError(f"{path} is there already; keys are never written over")
    key = Ed25519PrivateKey.generate()
    write_private(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase)))
    return CryptoSigner(key)


def _made(path: Path) -> CryptoSigner:
    """A new key of the centre's own, which signs without a person."""
    key = Ed25519PrivateKey.generate()
    write_private(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return CryptoSigner(key)


def _loaded(path: Path, passphrase: bytes | None) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), passphrase)
    except (OSError, ValueError, TypeError) as error:
        raise ReleaseError(f"{path} cannot be read as a key ({error}): is the passphrase its own?") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ReleaseError(f"{path} is no Ed25519 key")
    return key


def _whole(moment: datetime) -> datetime:
    """TUF's times have no fractions of a second."""
    return moment.replace(microsecond=0)


def _write(path: Path, content: bytes) -> None:
    """By a rename. Nobody but the centre's user reads it here; to registers it is no secret."""
    write_private(path, content)
