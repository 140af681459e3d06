"""The route table of the device API: one row per operation, read by the server and by the OpenAPI page.

Owns methods, paths, types and limits. Never handles a request.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from sync.wire import (
    MAX_BODY_BYTES,
    MAX_HINT_WAIT_S,
    AllowancesRequest,
    AllowancesResponse,
    ChangesResponse,
    EnrolRequest,
    EnrolResponse,
    EpochRequest,
    EpochResponse,
    ErasuresResponse,
    HeartbeatRequest,
    HeartbeatResponse,
    IngestRequest,
    IngestResponse,
    LiveHint,
    MemberResponse,
    NobodysCode,
    SequenceGap,
    SignedConfig,
    SignedItemMap,
    SignedProgram,
    SnapshotResponse,
)

# A body that changes little says little; the first of these is read from anyone.
SMALL_BODY_BYTES = 16 * 1024


class Parameter(Struct, frozen=True, kw_only=True):
    name: str
    where: Literal["path", "query"]
    schema: dict[str, object]
    description: str
    required: bool = True


class Operation(Struct, frozen=True, kw_only=True):
    """One operation. `answer` is a Struct in JSON, or the media type of anything else."""

    id: str
    method: Literal["GET", "POST"]
    path: str
    summary: str
    answer: type[Struct] | str
    answer_description: str = "Done"
    request: type[Struct] | None = None
    max_body_bytes: int = 0
    parameters: tuple[Parameter, ...] = ()
    signed: bool = True
    refusals: tuple[int, ...] = ()
    special: dict[int, type[Struct]] = {}
    live: bool = False


def _path(name: str, description: str) -> Parameter:
    return Parameter(name=name, where="path", schema={"type": "string"}, description=description)


OPERATIONS = (
    Operation(
        id="ca",
        method="GET",
        path="/v1/ca",
        summary="The CA certificate that a register pins after checking its digest against the enrolment code",
        answer="application/x-pem-file",
        signed=False,
    ),
    Operation(
        id="openapi",
        method="GET",
        path="/openapi.json",
        summary="This document",
        answer="application/json",
        signed=False,
    ),
    Operation(
        id="enrol",
        method="POST",
        path="/v1/enrol",
        summary="Turn a one-time token and a public key into a device; the same pair again gets the first answer",
        request=EnrolRequest,
        answer=EnrolResponse,
        max_body_bytes=SMALL_BODY_BYTES,
        signed=False,
        refusals=(403, 413, 422, 429),
    ),
    Operation(
        id="release_file",
        method="GET",
        path="/v1/releases/{kind}/{name}",
        summary="A file of The Update Framework, by which a register proves a release; nothing in it is a secret",
        answer="application/octet-stream",
        parameters=(
            _path("kind", "`metadata` or `targets`"),
            _path("name", "as the framework names it, such as timestamp.json"),
        ),
        signed=False,
        refusals=(404,),
    ),
    Operation(
        id="open_epoch",
        method="POST",
        path="/v1/epochs",
        summary="Open the device's live epoch; the one before it is fenced",
        request=EpochRequest,
        answer=EpochResponse,
        max_body_bytes=SMALL_BODY_BYTES,
        refusals=(413, 422),
    ),
    Operation(
        id="ingest",
        method="POST",
        path="/v1/ingest",
        summary="Take in numbered, chained entries",
        request=IngestRequest,
        answer=IngestResponse,
        max_body_bytes=MAX_BODY_BYTES,
        refusals=(410, 413, 422),
        special={409: SequenceGap},
    ),
    Operation(
        id="changes",
        method="GET",
        path="/v1/changes",
        summary="Changes of the feed after a position",
        answer=ChangesResponse,
        parameters=(
            Parameter(
                name="after",
                where="query",
                schema={"type": "integer", "minimum": 0},
                description="the last position applied",
            ),
            Parameter(
                name="limit",
                where="query",
                schema={"type": "integer", "minimum": 1, "maximum": 1000, "default": 1000},
                description="changes at most",
                required=False,
            ),
            Parameter(
                name="scope",
                where="query",
                schema={"type": "string"},
                description="`scope` of the snapshot that the register holds; 410 where its store has another by now",
                required=False,
            ),
        ),
        refusals=(410, 422),
    ),
    Operation(
        id="snapshot",
        method="GET",
        path="/v1/snapshot",
        summary="Where to fetch everything in this register's scope, and the position to go on from",
        answer=SnapshotResponse,
        parameters=(
            Parameter(
                name="last",
                where="query",
                schema={"type": "string"},
                description="`sha256` of a chunk that the register has: to go on with the snapshot that it is of",
                required=False,
            ),
        ),
    ),
    Operation(
        id="snapshot_chunk",
        method="GET",
        path="/v1/snapshots/{snapshot}/{chunk}",
        summary="One chunk: JSON lines of changes, compressed with zstd as a file is",
        answer="application/zstd",
        parameters=(_path("snapshot", "from the chunk's url"), _path("chunk", "from the chunk's url")),
        refusals=(404, 410),
    ),
    Operation(
        id="member",
        method="GET",
        path="/v1/members/{code}",
        summary="The member that a code names; the register's store holds them from now on",
        answer=MemberResponse,
        parameters=(_path("code", "any identifier of the member, in any way of writing it"),),
        special={404: NobodysCode},
        refusals=(429,),
    ),
    Operation(
        id="erasures",
        method="GET",
        path="/v1/erasures",
        summary="Members who were erased, after a number; a register asks before it sends anything",
        answer=ErasuresResponse,
        parameters=(
            Parameter(
                name="after",
                where="query",
                schema={"type": "integer", "minimum": 0},
                description="the number of the last erasure that the register carried out",
            ),
        ),
        refusals=(422,),
    ),
    Operation(
        id="live",
        method="GET",
        path="/v1/live",
        summary="WebSocket: hints that the feed moved",
        answer=LiveHint,
        answer_description="Each text message of the WebSocket is one of these",
        live=True,
    ),
    Operation(
        id="hint",
        method="GET",
        path="/v1/hint",
        summary="The next hint, as soon as there is one, for a register whose way lets no WebSocket through",
        answer=LiveHint,
        parameters=(
            Parameter(
                name="after",
                where="query",
                schema={"type": "integer", "minimum": 0},
                description="the position that the register has been told of",
            ),
            Parameter(
                name="wait",
                where="query",
                schema={"type": "integer", "minimum": 0, "maximum": MAX_HINT_WAIT_S},
                description="seconds after which the answer is an empty hint",
            ),
        ),
        refusals=(422,),
    ),
    Operation(
        id="heartbeat",
        method="POST",
        path="/v1/heartbeat",
        summary="Tell how the register is; hear of the program, the config and the item map in force",
        request=HeartbeatRequest,
        answer=HeartbeatResponse,
        max_body_bytes=SMALL_BODY_BYTES,
        refusals=(413, 422),
    ),
    Operation(
        id="allowances",
        method="POST",
        path="/v1/allowances",
        summary="What this register may spend of members without asking; and points for who stands at its till",
        request=AllowancesRequest,
        answer=AllowancesResponse,
        max_body_bytes=MAX_BODY_BYTES,
        refusals=(410, 413, 422),
    ),
    Operation(
        id="program",
        method="GET",
        path="/v1/programs/{hash}",
        summary="A published program and its signature",
        answer=SignedProgram,
        parameters=(_path("hash", "SHA-256 of the program's JSON, hexadecimal"),),
        refusals=(404,),
    ),
    Operation(
        id="item_map",
        method="GET",
        path="/v1/item-maps/{hash}",
        summary="A published item map and its signature",
        answer=SignedItemMap,
        parameters=(_path("hash", "SHA-256 of the map's JSON, hexadecimal"),),
        refusals=(404,),
    ),
    Operation(
        id="config",
        method="GET",
        path="/v1/config",
        summary="The config in force (identification rules) and its signature",
        answer=SignedConfig,
        refusals=(404,),
    ),
)
