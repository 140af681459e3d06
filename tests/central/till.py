"""A register reduced to what the centre sees of one: keys, a chain, signed requests over real TLS."""

from __future__ import annotations

import hashlib
import json
import secrets
import ssl
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec
from aiohttp import ClientSession, ClientWebSocketResponse, TCPConnector
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Raw, Struct
from msgspec.structs import replace

from loyalty.evaluate import evaluate
from loyalty.identity import identified
from loyalty.ledger import LedgerEntry
from loyalty.program import Program
from loyalty.purchase import Known
from loyalty.receipt import Line, MemberReference, Original, Receipt
from loyalty.reconcile import reconciled
from sync.enrolment import parse_code
from sync.hlc import Hlc, milliseconds
from sync.records import AttachBody, Entry, ReceiptBody, chain_next, chain_start
from sync.signing import public_key_text, sign_request
from sync.wire import (
    ChangesResponse,
    EnrolRequest,
    EnrolResponse,
    EpochRequest,
    EpochResponse,
    Facts,
    HeartbeatRequest,
    HeartbeatResponse,
    IngestRequest,
    IngestResponse,
    SnapshotResponse,
    compress,
    decompress,
)

T = TypeVar("T", bound=Struct)

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
FACTS = Facts(version="0.1.0", platform="test")


class RefusedError(Exception):
    """The centre answered with a problem document."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(f"{status} {problem}")
        self.status = status
        self.problem = problem


def receipt(count: int, total_minor: int = 100_00, /, *, code: str | None = None, **facts: Any) -> Receipt:
    """A final sale of one line at store 12, register 3; `count` gives its number and its minute."""
    fields: dict[str, Any] = {
        "key": "",
        "kind": "sale",
        "store": "12",
        "register": "3",
        "number": str(count),
        "business_day": NOON.date(),
        "issued_at": NOON + timedelta(minutes=count),
        "currency": "RSD",
        "total_minor": total_minor,
        "lines": (Line(position=1, amount_minor=total_minor),),
    } | facts
    if code is not None:
        fields["member"] = MemberReference(code=code)
    return identified(reconciled(Receipt(**fields)), b"")


def returned(count: int, sold: Receipt, total_minor: int | None = None, /, **facts: Any) -> Receipt:
    """A return of `sold`, all of it or so much, which names it by its number alone."""
    total = -sold.total_minor if total_minor is None else total_minor
    named: dict[str, Any] = {"kind": "return", "original": Original(number=sold.number)}
    return receipt(count, total, **named | facts)


class Till:
    """Enrolled at a centre; numbers, chains and signs what it sends."""

    def __init__(self, url: str, ca_pem: str, session: ClientSession) -> None:
        self.url = url
        self.session = session
        self.tls = ssl.create_default_context(cadata=ca_pem)
        self.key = Ed25519PrivateKey.generate()
        self.device = ""
        self.epoch = ""
        self.sent: list[Entry] = []
        self.hashes: list[bytes] = []

    @classmethod
    async def enrolled(cls, url: str, code: str, session: ClientSession) -> Till:
        """Pin the CA by the code's digest, enrol, open an epoch."""
        parts = parse_code(code)
        async with session.get(f"{url}/v1/ca", ssl=False) as answer:
            pem = await answer.text()
        assert hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest() == parts.ca_sha256
        till = cls(url, pem, session)
        await till.enrol(parts.token)
        await till.open_epoch()
        return till

    @property
    def public_key(self) -> str:
        return public_key_text(self.key)

    async def enrol(self, token: str, *, before: Till | None = None, **more: Any) -> EnrolResponse:
        """With the proof that it was another device `before`."""
        if before is not None:
            more["replaces"] = before.device
        body = msgspec.json.encode(EnrolRequest(token=token, public_key=self.public_key, facts=FACTS, **more))
        headers = {} if before is None else before.signed("POST", "/v1/enrol", body)
        async with self.session.post(f"{self.url}/v1/enrol", data=body, headers=headers, ssl=self.tls) as answer:
            enrolled = _decoded(answer.status, await answer.read(), EnrolResponse)
        self.device = enrolled.device
        return enrolled

    async def open_epoch(self, *, previous: str | None = None, request_id: str | None = None, **facts: Any) -> str:
        request = EpochRequest(previous=previous or self.epoch or msgspec.UNSET, facts=FACTS, **facts)
        answer = await self.post("/v1/epochs", request, EpochResponse, request_id=request_id)
        self.epoch, self.sent, self.hashes = answer.epoch, [], []
        return answer.epoch

    # ---- entries

    def entry(self, kind: str, key: str, body: bytes, wall: datetime = NOON) -> Entry:
        """The next entry of the chain, kept as sent."""
        made = Entry(
            seq=len(self.sent) + 1,
            key=key,
            kind=kind,
            hlc=f"{len(self.sent):016x}",
            wall=wall,
            salt=secrets.token_hex(16),
            body=Raw(body),
        )
        self.hashes.append(chain_next(self.hash_at(len(self.sent)), made))
        self.sent.append(made)
        return made

    def sale(self, sold: Receipt, *, member: str | None = None, claims: tuple[LedgerEntry, ...] = ()) -> Entry:
        body = ReceiptBody(receipt=sold, member=member or msgspec.UNSET, claims=claims)
        return self.entry("receipt", sold.key, msgspec.json.encode(body))

    def attach(self, target: str, code: str, wall: datetime = NOON) -> Entry:
        body = AttachBody(target=target, member=MemberReference(code=code))
        return self.entry("attach", secrets.token_hex(8), msgspec.json.encode(body), wall)

    def told(self, kind: str, body: Struct, hlc: str | None = None, wall: datetime = NOON) -> Entry:
        """What the register tells of a member, now or by a clock that says `hlc`."""
        made = self.entry(kind, secrets.token_hex(8), msgspec.json.encode(body), wall)
        noon = Hlc(ms=milliseconds(NOON), counter=len(self.sent), node="aaaaaaaa").text
        self.sent[-1] = stamped = replace(made, hlc=hlc or noon)
        self.hashes[-1] = chain_next(self.hash_at(len(self.sent) - 1), stamped)
        return stamped

    def hash_at(self, seq: int) -> bytes:
        return self.hashes[seq - 1] if seq else chain_start(self.device, self.epoch)

    def batch(self, first_seq: int, last_seq: int | None = None) -> IngestRequest:
        return IngestRequest(
            device=self.device,
            epoch=self.epoch,
            first_seq=first_seq,
            prev_hash=self.hash_at(first_seq - 1).hex(),
            entries=tuple(self.sent[first_seq - 1 : last_seq]),
        )

    async def send(self, first_seq: int, last_seq: int | None = None, **how: Any) -> IngestResponse:
        return await self.ingest(self.batch(first_seq, last_seq), **how)

    async def ingest(self, batch: IngestRequest, **how: Any) -> IngestResponse:
        return await self.post("/v1/ingest", batch, IngestResponse, **how)

    async def sell(self, *sold: Receipt) -> IngestResponse:
        """Number and send these receipts."""
        first = len(self.sent) + 1
        for one in sold:
            self.sale(one)
        return await self.send(first)

    # ---- the rest

    async def heartbeat(self, queued: int = 0, **how: Any) -> HeartbeatResponse:
        aside, programs = how.pop("reasons", {}), how.pop("programs", ())
        request = HeartbeatRequest(
            version="0.1.0",
            queued=queued,
            quarantined=sum(aside.values()),
            reasons=aside,
            programs=programs,
            templates_refused=how.pop("templates_refused", msgspec.UNSET),
        )
        return await self.post("/v1/heartbeat", request, HeartbeatResponse, **how)

    async def changes(self, after: int = 0, limit: int = 1000) -> ChangesResponse:
        return await self.get(f"/v1/changes?after={after}&limit={limit}", ChangesResponse)

    async def snapshot(self) -> SnapshotResponse:
        return await self.get("/v1/snapshot", SnapshotResponse)

    async def live(self) -> ClientWebSocketResponse:
        headers = self.signed("GET", "/v1/live", b"")
        return await self.session.ws_connect(f"{self.url}/v1/live", headers=headers, ssl=self.tls)

    async def get(self, path: str, expected: type[T]) -> T:
        return _decoded(*await self.request("GET", path, b""), expected)

    async def post(self, path: str, request: Struct, expected: type[T], *, request_id: str | None = None) -> T:
        body, encoding = compress(msgspec.json.encode(request))
        answer = await self.request("POST", path, body, encoding=encoding, request_id=request_id)
        return _decoded(*answer, expected)

    async def request(
        self,
        method: str,
        path: str,
        body: bytes,
        *,
        encoding: str | None = None,
        request_id: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Send exactly these bytes, signed unless `headers` are given."""
        if headers is None:
            headers = self.signed(method, path, body, encoding=encoding, request_id=request_id)
        headers = {"Content-Type": "application/json", "Accept-Encoding": "zstd", **headers}
        async with self.session.request(
            method, self.url + path, data=body or None, headers=headers, ssl=self.tls
        ) as answer:
            plain = decompress(await answer.read(), answer.headers.get("Content-Encoding"))
            return answer.status, plain

    def signed(
        self, method: str, path: str, body: bytes, *, encoding: str | None = None, request_id: str | None = None
    ) -> dict[str, str]:
        return sign_request(
            method=method,
            url=path,
            headers={} if encoding is None else {"Content-Encoding": encoding},
            body=body,
            device=self.device,
            request_id=request_id or secrets.token_hex(16),
            key=self.key,
            created=NOON,
        )


def claims_of(
    sold: Receipt, program: Program, tier: str | msgspec.UnsetType = msgspec.UNSET
) -> tuple[LedgerEntry, ...]:
    """What an honest register would claim."""
    return evaluate(sold, known=Known(tier=tier), program=program)


def _decoded(status: int, body: bytes, expected: type[T]) -> T:
    if status != 200:
        raise RefusedError(status, json.loads(body))
    return msgspec.json.decode(body, type=expected)


def client_session() -> ClientSession:
    """One connection pool; bodies stay as sent, so that a test sees what travelled."""
    return ClientSession(connector=TCPConnector(limit=20), auto_decompress=False)
