"""The register's process of `bootstrap`: store, client and loop, and nothing of a centre.

Prints how many chunks it has, each time that there are more, and at the end what it took.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import msgspec

from sync.client import CentreClient
from sync.enrolment import device_key, load_enrolment
from sync.keys import keeper_for
from sync.loop import SyncLoop
from sync.steps import SnapshotProgress
from sync.store.store import Store
from sync.wire import Facts

FACTS = Facts(version="0.1.0", platform="bench")


def _now() -> datetime:
    return datetime.now(UTC)


async def _register(state: Path, url: str) -> None:
    keeper = keeper_for(state)
    enrolment = load_enrolment(state)
    store, chance, committed = Store.open(state / "store.db", keeper), Random(0), asyncio.Event()
    client = CentreClient(
        url=url,
        ca_pem=enrolment.ca_pem,
        device=enrolment.device,
        key=device_key(enrolment, keeper),
        clock=_now,
        request_id=lambda: f"{chance.getrandbits(128):032x}",
        chance=chance.random,
    )
    loop = SyncLoop(
        store=store,
        client=client,
        device=enrolment.device,
        program_key=enrolment.program_key,
        facts=FACTS,
        clock=_now,
        chance=chance.random,
        changed=lambda _: None,
        configured=lambda _: None,
        mapped=lambda _: None,
        item_map=None,
    )
    store.listen(lambda _: committed.set())
    began = time.perf_counter()
    running = asyncio.create_task(loop.run(lambda: None))
    told = 0
    while store.feed().centre_epoch is None:
        await committed.wait()
        committed.clear()
        progress = store.meta("snapshot")
        chunks = msgspec.json.decode(progress, type=SnapshotProgress).chunks if progress else told
        if chunks != told:
            told = chunks
            print(told, flush=True)
    seconds = time.perf_counter() - began
    running.cancel()
    await asyncio.wait({running})
    await client.close()
    used = resource.getrusage(resource.RUSAGE_SELF)
    answer = {
        "seconds": seconds,
        "cpu_s": used.ru_utime + used.ru_stime,
        "rss_mb": used.ru_maxrss / 1024,
        "members": store.count_members(),
    }
    store.close()
    print(msgspec.json.encode(answer).decode(), flush=True)


if __name__ == "__main__":
    asyncio.run(_register(Path(sys.argv[1]), sys.argv[2]))
