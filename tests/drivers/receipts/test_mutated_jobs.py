"""200,000 mutated jobs through the whole door: no error, every range within the job, memory bounded."""

from __future__ import annotations

import random
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import msgspec
import pytest

from drivers.receipts.decode import Decoded, decode
from drivers.receipts.port import DecodeOptions
from tests.drivers.receipts.hunting import hunt

JOBS = 200_000
SHARDS = 4
# What a process may hold more of afterwards, with all that is remembered of lines and articles.
MAX_GROWN_BYTES = 50 * 1024 * 1024


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("shard", range(SHARDS))
def test_mutated_jobs_raise_nothing_and_hold_little(shard: int) -> None:
    seed = f"{random.randrange(2**32)}-{shard}"
    print("seed", seed)

    # in a process of its own, which nothing but this has grown
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        found = pool.submit(hunt, decode, seed, JOBS // SHARDS).result()

    print(f"slowest {found.slowest_ms:.1f} ms, {found.grown_bytes // 1024} KiB more, {found.receipts} receipts")
    assert found.failures == []
    assert found.grown_bytes < MAX_GROWN_BYTES
    assert found.receipts


def test_a_bug_that_is_planted_is_found() -> None:
    # given a door that fails at one command with one parameter, and one that forgets where a job ends
    def broken(job: bytes, options: DecodeOptions) -> Decoded:
        if b"\x1bd\x02" in job:
            raise IndexError("planted")
        return decode(job, options)

    def beyond(job: bytes, options: DecodeOptions) -> Decoded:
        decoded = decode(job, options)
        wrong = tuple(msgspec.structs.replace(each, end=each.end + 1) for each in decoded.problems)
        return msgspec.structs.replace(decoded, problems=wrong)

    # then the hunt finds both, and nothing where nothing is
    assert {failure for failure, _ in hunt(broken, "planted", 2_000).failures} == {"IndexError: planted"}
    assert all("not within" in failure for failure, _ in hunt(beyond, "planted", 200).failures)
    assert hunt(beyond, "planted", 200).failures
    assert hunt(decode, "planted", 2_000).failures == []


def test_a_leak_that_is_planted_is_found() -> None:
    leaked: list[bytes] = []

    def leaking(job: bytes, options: DecodeOptions) -> Decoded:
        # large enough that it never comes out of memory that other tests have freed
        leaked.append(random.randbytes(256 * 1024))
        return decode(job, options)

    assert hunt(leaking, "planted", 500).grown_bytes > MAX_GROWN_BYTES
