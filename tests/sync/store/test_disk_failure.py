"""A disk that is full or refuses to write: no answer without durability, and writing goes on by itself afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sync.store.errors import StoreUnavailableError
from sync.store.store import Store
from tests.sync.store.samples import capturing, opened, receipt

TMPFS_BYTES = 4 * 1024 * 1024
ROOM_BYTES = 200_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_BYTES}", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("only root may mount a small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def fill_up(folder: Path) -> Path:
    """Leaves no byte free."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return ballast


async def test_a_full_disk_refuses_every_write_of_the_batch_and_recovers_by_itself(small_disk: Path) -> None:
    with closing(opened(small_disk)) as store:
        await store.write(capturing(0))
        ballast = fill_up(small_disk)

        # when the disk is full
        answers: list[object] = []
        while not any(isinstance(answer, Exception) for answer in answers):
            start = len(answers)
            answers += await asyncio.gather(
                *(store.write(capturing(number)) for number in range(start + 1, start + 21)), return_exceptions=True
            )
        refused = [number for number, answer in enumerate(answers, start=1) if isinstance(answer, Exception)]
        assert all(
            isinstance(answer, StoreUnavailableError) and "free some space" in str(answer)
            for answer in answers
            if isinstance(answer, Exception)
        )

        # then reading goes on, nothing refused was kept, everything answered was
        kept = {entry.key for entry in store.queue()}
        assert kept == {receipt(number).key for number in range(len(answers) + 1) if number not in refused}
        with pytest.raises(StoreUnavailableError):
            await asyncio.gather(*(store.write(capturing(number)) for number in range(1000, 1100)))

        # and with space there again writing goes on
        ballast.unlink()
        await store.write(capturing(refused[0]))
        numbers = [entry.number for entry in store.queue()]
        assert numbers == list(range(1, len(numbers) + 1))
        assert receipt(refused[0]).key in {entry.key for entry in store.queue()}
    with closing(opened(small_disk)) as store:
        assert store.status().recovered is None
        assert store.known_receipt([receipt(refused[0]).key]) is not None


def limited(folder: Path) -> dict[str, list[int]]:
    """Run in a process of its own: writes up to a file size limit, against it, and after it was lifted."""
    told: dict[str, list[int]] = {"kept": [], "refused": [], "after": []}
    with closing(opened(folder)) as store:
        _write(store, range(5), told["kept"], told["refused"])
        biggest = max(file.stat().st_size for file in folder.glob("store.db*"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (biggest + ROOM_BYTES, resource.RLIM_INFINITY))
        number = 5
        while len(told["refused"]) < 3:
            _write(store, range(number, number + 1), told["kept"], told["refused"])
            number += 1
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        _write(store, range(number, number + 5), told["after"], told["refused"])
    return told


def _write(store: Store, numbers: range, kept: list[int], refused: list[int]) -> None:
    for number in numbers:
        try:
            store.submit(capturing(number)).result()
            kept.append(number)
        except StoreUnavailableError:
            refused.append(number)


def test_a_file_size_limit_is_a_visible_refusal_and_passes(tmp_path: Path) -> None:
    program = (
        "import json, sys; from pathlib import Path; from tests.sync.store.test_disk_failure import limited; "
        "print(json.dumps(limited(Path(sys.argv[1]))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE,
        check=True,
        env=os.environ | {"PYTHONPATH": os.getcwd()},  # noqa: PTH109
    )

    told = json.loads(done.stdout.splitlines()[-1])
    assert len(told["after"]) == 5
    assert len(told["refused"]) == 3
    with closing(opened(tmp_path)) as store:
        assert store.status().recovered is None
        assert [entry.key for entry in store.queue()] == [
            receipt(number).key for number in (*told["kept"], *told["after"])
        ]
