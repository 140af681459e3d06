"""A register made from docs/protocol.md alone: enrolment, signatures, the chain, requests.

Shares no code with the product, so that the page is tried together with the centre. Never judges what comes back
further than its shape.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import io
import json
import re
import secrets
import ssl
import struct
import sys
import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
from aiohttp import ClientConnectorCertificateError, ClientSession, ClientWebSocketResponse
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from yarl import URL

from tests.conformance.rules import Section, require, violated
from tests.conformance.shapes import Enrolled, Heard, Ingested, Json, OnDemand, Opened, Snapshot

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

T = TypeVar("T")

COVERED = ("@method", "@path", "@query", "content-digest", "tillside-device", "tillside-request-id")
FACTS = {"version": "0", "platform": "conformance"}
PREFIX = "tillside-enrol:"
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "tillside:receipt")
COMPRESS_ABOVE_BYTES = 1024
# Of a snapshot that is being made.
ASKED_AGAIN = 10
LONGEST_PAUSE_S = 5


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def from_base64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


# ---- signatures


def signature_base(method: str, target: str, headers: dict[str, str], parameters: str) -> bytes:
    """What is signed: the components that `parameters` (the value of Signature-Input behind its label) names."""
    path, _, query = target.partition("?")
    values = {name.lower(): value for name, value in headers.items()}
    values |= {"@method": method, "@path": path, "@query": f"?{query}"}
    names = parameters[2 : parameters.index('")')].split('" "')
    lines = [f'"{name}": {values[name]}' for name in names]
    return "\n".join((*lines, f'"@signature-params": {parameters}')).encode()


def content_digest(body: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


@dataclass(kw_only=True)
class Request:
    """A request as it goes out. `sign` may be told to make a signature of another form than the one."""

    method: str
    target: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    def sign(
        self,
        device: str,
        key: Ed25519PrivateKey,
        *,
        request_id: str = "",
        covered: tuple[str, ...] | None = None,
        parameters: str | None = None,
        created: int | None = None,
    ) -> Request:
        headers = self.headers | {
            "Tillside-Device": device,
            "Tillside-Request-Id": request_id or secrets.token_hex(16),
            "Content-Digest": content_digest(self.body),
        }
        encoded = ("content-encoding",) if "Content-Encoding" in headers else ()
        names = " ".join(f'"{name}"' for name in (covered or (*COVERED, *encoded)))
        made = int(time.time()) if created is None else created
        given = f'created={made};keyid="{device}";alg="ed25519"' if parameters is None else parameters
        signed = f"({names});{given}"
        signature = key.sign(signature_base(self.method, self.target, headers, signed))
        headers["Signature-Input"] = f"tillside={signed}"
        headers["Signature"] = f"tillside=:{base64.b64encode(signature).decode()}:"
        return Request(method=self.method, target=self.target, body=self.body, headers=headers)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back, unpacked."""

    to: str
    status: int
    headers: dict[str, str]
    body: bytes

    def __str__(self) -> str:
        shown = self.body[:200].decode(errors="replace")
        return f"{self.status} to {self.to}" + (f" ({shown})" if shown else "")

    def read(self, shape: type[T], section: Section, *, status: int = 200) -> T:
        """The answer, of this status and shape."""
        require(self.status == status, section, f"The centre answered {self}; {status} is due.")
        try:
            return msgspec.json.decode(self.body, type=shape)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            violated(section, f"The centre's answer {self} is not of the shape that is due: {error}.")


# ---- enrolment


@dataclass(frozen=True, kw_only=True)
class Code:
    url: str
    token: str
    ca_sha256: str
    asks_register: bool = False


def read_code(text: str) -> Code:
    """What an enrolment code says, wherever it stands in `text`: whatever a command prints beside it."""
    found = re.search(f"{PREFIX}([A-Za-z0-9_-]+)", text)
    packed = "" if found is None else found[1]
    require(packed, "enrolment", f"No enrolment code ({PREFIX}…) was given: {text[:200]!r}.")
    try:
        said = json.loads(from_base64url(packed))
        asks = said.get("asks_register") is True
        return Code(url=said["url"], token=said["token"], ca_sha256=said["ca_sha256"], asks_register=asks)
    except (ValueError, KeyError, TypeError) as error:
        violated("enrolment", f"The enrolment code cannot be read: {error!r}.")


@dataclass(kw_only=True)
class Device:
    """What a register keeps of its enrolment, and where its last epoch ended."""

    url: str
    ca_pem: str
    id: str
    key: Ed25519PrivateKey
    enrolled: Enrolled
    ended: Json = field(default_factory=dict)


def public_text(key: Ed25519PrivateKey) -> str:
    return base64url(key.public_key().public_bytes_raw())


async def pinned_ca(session: ClientSession, code: Code) -> str:
    async with session.get(f"{code.url}/v1/ca", ssl=False, allow_redirects=False) as answer:
        pem = await answer.text()
        require(answer.status == 200, "enrolment", f"The centre answered {answer.status} to GET /v1/ca.")
    try:
        digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
    except ValueError:
        violated("enrolment", "GET /v1/ca gave no certificate in PEM.")
    require(digest == code.ca_sha256, "enrolment", "GET /v1/ca gave another certificate than the one the code names.")
    return pem


def pinned(ca_pem: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=ca_pem)
    return context


async def ask_to_enrol(
    session: ClientSession,
    code: Code,
    ca_pem: str,
    key: Ed25519PrivateKey,
    *,
    replaces: Device | None = None,
    proven: bool = True,
) -> Answer:
    """POST /v1/enrol, whatever it answers; in place of a device, whose key signs it where that is `proven`."""
    said: Json = {"token": code.token, "public_key": public_text(key), "facts": FACTS}
    if code.asks_register:
        said["register"] = f"c{hashlib.sha256(code.token.encode()).hexdigest()[:8]}"
    if replaces is not None:
        said["replaces"] = replaces.id
    body, headers = json.dumps(said).encode(), {"Content-Type": "application/json"}
    request = Request(method="POST", target="/v1/enrol", body=body, headers=headers)
    if replaces is not None and proven:
        request = request.sign(replaces.id, replaces.key)
    return await sent(session, code.url, pinned(ca_pem), request)


async def enrol(session: ClientSession, text: str, *, replaces: Device | None = None, proven: bool = True) -> Device:
    code, key = read_code(text), Ed25519PrivateKey.generate()
    ca_pem = await pinned_ca(session, code)
    answer = await ask_to_enrol(session, code, ca_pem, key, replaces=replaces, proven=proven)
    enrolled = answer.read(Enrolled, "enrolment")
    return Device(url=code.url, ca_pem=ca_pem, id=enrolled.device, key=key, enrolled=enrolled)


async def sent(session: ClientSession, url: str, tls: ssl.SSLContext, request: Request) -> Answer:
    headers = {"Accept": "application/json", "Accept-Encoding": "zstd"} | request.headers
    try:
        async with session.request(
            request.method,
            URL(url + request.target, encoded=True),
            data=io.BytesIO(request.body) if request.body else None,
            headers=headers,
            skip_auto_headers=("Content-Type",),
            ssl=tls,
            allow_redirects=False,
        ) as answer:
            body = await answer.read()
            got = {name.lower(): value for name, value in answer.headers.items()}
            said = f"{request.method} {request.target}"
            plain = unpacked(body, f"an answer to {said}") if got.get("content-encoding") == "zstd" else body
            return Answer(to=said, status=answer.status, headers=got, body=plain)
    except ClientConnectorCertificateError as error:
        host = urlsplit(url).hostname
        violated("transport", f"The centre's certificate is not of the pinned CA, or does not name {host}: {error}.")


def packed(plain: bytes) -> bytes:
    """One zstd frame."""
    return zstd.compress(plain)


def unpacked(frame: bytes, what: str) -> bytes:
    decompressor = zstd.ZstdDecompressor()
    try:
        plain = decompressor.decompress(frame)
    except zstd.ZstdError as error:
        violated("compression", f"The centre sent {what} that is no zstd frame: {error}.")
    whole = decompressor.eof and not decompressor.unused_data
    require(whole, "compression", f"The centre sent {what} that is not one whole zstd frame.")
    return plain


# ---- entries


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack(">I", len(raw)) + raw


def chain_start(device: str, epoch: str) -> bytes:
    return hashlib.sha256(b"tillside-chain-1" + text(device) + text(epoch)).digest()


@dataclass(frozen=True, kw_only=True)
class Entry:
    seq: int
    key: str
    kind: str
    hlc: str
    wall: str
    salt: str
    body: str

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(bytes.fromhex(self.salt) + self.body.encode()).digest()

    def after(self, h: bytes) -> bytes:
        """h of this entry."""
        head = struct.pack(">Q", self.seq) + text(self.key) + text(self.kind) + text(self.hlc) + text(self.wall)
        return hashlib.sha256(h + head + self.digest).digest()

    @property
    def wire(self) -> str:
        return f'{self._head},"salt":"{self.salt}","body":{self.body}}}'

    @property
    def wire_without_body(self) -> str:
        return f'{self._head},"digest":"{self.digest.hex()}"}}'

    @property
    def _head(self) -> str:
        names = ("seq", "key", "kind", "hlc", "wall")
        return json.dumps({name: getattr(self, name) for name in names}, separators=(",", ":"))[:-1]


def key_of(natural_id: str) -> str:
    return str(uuid.uuid5(NAMESPACE, natural_id))


class Register:
    """A device in an epoch: numbers, chains, signs and sends."""

    def __init__(self, device: Device, session: ClientSession) -> None:
        self.device = device
        self.epoch = ""
        self.entries: list[Entry] = []
        self._session = session
        self._tls = pinned(device.ca_pem)

    # ---- requests

    def request(self, method: str, target: str, body: bytes = b"", *, compressed: bool | None = None) -> Request:
        """Unsigned; compressed above 1 KiB as registers do, or as told."""
        headers = {"Content-Type": "application/json"} if body else {}
        if compressed is None:
            compressed = len(body) > COMPRESS_ABOVE_BYTES
        if compressed:
            return Request(
                method=method, target=target, body=packed(body), headers=headers | {"Content-Encoding": "zstd"}
            )
        return Request(method=method, target=target, body=body, headers=headers)

    def signed(self, method: str, target: str, body: bytes = b"", **how: Any) -> Request:
        return self.request(method, target, body).sign(self.device.id, self.device.key, **how)

    async def send(self, request: Request) -> Answer:
        return await sent(self._session, self.device.url, self._tls, request)

    async def get(self, target: str) -> Answer:
        return await self.send(self.signed("GET", target))

    async def post(self, target: str, document: Json, **how: Any) -> Answer:
        return await self.send(self.signed("POST", target, json.dumps(document).encode(), **how))

    async def live(self) -> ClientWebSocketResponse:
        headers = self.signed("GET", "/v1/live").headers
        return await self._session.ws_connect(f"{self.device.url}/v1/live", headers=headers, ssl=self._tls)

    # ---- epochs and entries

    def epoch_request(self, **how: Any) -> Request:
        body = {"through": 0, "facts": FACTS} | self.device.ended
        return self.signed("POST", "/v1/epochs", json.dumps(body).encode(), **how)

    async def open_epoch(self) -> str:
        opened = (await self.send(self.epoch_request())).read(Opened, "epochs")
        self.begin(opened.epoch)
        return opened.epoch

    def begin(self, epoch: str) -> None:
        self.epoch, self.entries = epoch, []
        self.device.ended = {"previous": epoch, "through": 0}

    def h(self, seq: int | None = None) -> bytes:
        """h of the entry `seq`, of the last one without it."""
        h = chain_start(self.device.id, self.epoch)
        for entry in self.entries[:seq]:
            h = entry.after(h)
        return h

    def write(self, kind: str, body: str | Json, *, key: str = "", wall: str = "2026-11-22T09:07:14Z") -> Entry:
        """The next entry of the chain."""
        seq = len(self.entries) + 1
        entry = Entry(
            seq=seq,
            key=key or str(uuid.uuid4()),
            kind=kind,
            hlc=self.hlc,
            wall=wall,
            salt=secrets.token_hex(16),
            body=body if isinstance(body, str) else json.dumps(body, ensure_ascii=False),
        )
        self.entries.append(entry)
        return entry

    @property
    def hlc(self) -> str:
        """A reading of the clock, later than all before."""
        return f"{int(time.time() * 1000):012x}{len(self.entries):04x}-c04f0000"

    def signal(self) -> Entry:
        """An entry that means nothing to anybody."""
        return self.write("signal", {"what": "conformance"})

    def receipt(self, receipt: Json, **more: Any) -> Entry:
        return self.write("receipt", {"receipt": receipt, **more}, key=receipt["key"])

    def sale(self, **facts: Any) -> Json:
        """A sale of now, by the centre's clock."""
        return sale(self.device.enrolled.server_time, **facts)

    def batch(self, first: int = 1, last: int | None = None, *, digests: bool = False, **changed: Any) -> bytes:
        """The body of POST /v1/ingest with these entries, `changed` in what stands beside them."""
        entries = self.entries[first - 1 : last]
        head = {"device": self.device.id, "epoch": self.epoch, "first_seq": first, "prev_hash": self.h(first - 1).hex()}
        parts = ",".join(entry.wire_without_body if digests else entry.wire for entry in entries)
        return f'{json.dumps(head | changed)[:-1]},"entries":[{parts}]}}'.encode()

    async def ingest(self, first: int = 1, last: int | None = None, **how: Any) -> Ingested:
        """Send these entries; the acknowledgement must be of this chain, with an outcome for each."""
        answer = await self.send(self.signed("POST", "/v1/ingest", self.batch(first, last, **how)))
        return self.acknowledged(answer, first, last)

    def acknowledged(self, answer: Answer, first: int = 1, last: int | None = None) -> Ingested:
        taken = answer.read(Ingested, "up")
        through = len(self.entries) if last is None else last
        mark = taken.acked_through
        require(
            through <= mark <= len(self.entries),
            "up",
            f"The centre acknowledged through {mark} a batch that ends at {through}, of {len(self.entries)} entries.",
        )
        require(
            taken.chain_hash == self.h(mark).hex(),
            "the-chain",
            f"The centre's chain_hash at {mark} is not h there: something is hashed otherwise than it was sent.",
        )
        self.device.ended = {"previous": self.epoch, "through": mark, "hash": taken.chain_hash}
        numbers = [outcome.seq for outcome in taken.outcomes]
        expected = list(range(first, through + 1))
        require(numbers == expected, "up", f"The outcomes are for {numbers}; the batch holds {expected}.")
        return taken

    # ---- down

    async def heartbeat(self) -> Heard:
        body = {"version": "0", "queued": 0, "quarantined": 0}
        return (await self.post("/v1/heartbeat", body)).read(Heard, "heartbeat")

    async def snapshot(self) -> Snapshot:
        """One that the centre has to make first is asked for again, after as long as it says."""
        answer = await self.get("/v1/snapshot")
        for _ in range(ASKED_AGAIN):
            if answer.status != 503:
                break
            await asyncio.sleep(min(int(answer.headers.get("retry-after", "1")), LONGEST_PAUSE_S))
            answer = await self.get("/v1/snapshot")
        return answer.read(Snapshot, "snapshots")

    async def member(self, escaped: str) -> OnDemand | None:
        answer = await self.get(f"/v1/members/{escaped}")
        return None if answer.status == 404 else answer.read(OnDemand, "a-member-on-demand")


def holds(key: str, document: bytes, signature: str) -> bool:
    """Whether a document's signature holds, both as the wire carries them."""
    try:
        Ed25519PublicKey.from_public_bytes(from_base64url(key)).verify(from_base64url(signature), document)
    except (InvalidSignature, ValueError):
        return False
    return True


def sale(at: datetime, *, code: str = "", total_minor: int = 100_00, ids: tuple[str, ...] = ()) -> Json:
    """A final sale that nobody has seen, known by `ids` (the most authoritative first), or by one of its own."""
    names = ids or (f"pos:conformance/1/{at.date()}/{uuid.uuid4()}",)
    receipt: Json = {
        "key": key_of(names[0]),
        "also": list(names[1:]),
        "kind": "sale",
        "status": "final",
        "issued_at": at.isoformat(),
        "currency": "EUR",
        "total_minor": total_minor,
        "lines": [{"position": 1, "description": "Čaj", "amount_minor": total_minor}],
    }
    return receipt | ({"member": {"code": code, "kind": "card", "entry": "scanned"}} if code else {})


def phone_code(number: str, code_key: str) -> str:
    """The code by which a telephone number, digits after a `+`, names a member."""
    digest = hmac.digest(bytes.fromhex(code_key), b"phone\0" + number.encode(), "sha256").hex().upper()
    return f"TEL:{digest[:32]}:{number[-4:]}"


def erased_code(code: str, code_key: str) -> str:
    """By what an erasure names a code in normal form."""
    return hmac.digest(bytes.fromhex(code_key), b"erased\0" + code.encode(), "sha256").hex()


def fresh(scheme: str) -> str:
    """A natural id that no receipt has yet."""
    return f"{scheme}:{uuid.uuid4().hex}"
