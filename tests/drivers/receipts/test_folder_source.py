"""A folder of whole files: what is whole, in which order, and that a hostile folder gets nothing opened."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from drivers.receipts import folder_source
from drivers.receipts.arrivals import Arrival
from drivers.receipts.folder_source import FolderError, FolderReader, FolderRules
from loyalty.instant import Instant

NOON = datetime(2126, 11, 22, 12, 0, tzinfo=UTC)  # later than any file's time


class Dropped:
    """A folder, its reader, and a clock that stands still until it is moved."""

    def __init__(self, folder: Path, rules: FolderRules) -> None:
        self.folder = folder
        self.seconds = 0.0
        self.marks: dict[str, str] = {}
        self.rules = rules
        self.reader = FolderReader(folder, rules, now=self.now)

    def now(self) -> Instant:
        wall = NOON + timedelta(seconds=self.seconds)
        return Instant(wall=wall, boot="b", monotonic_ns=int(self.seconds * 1e9))

    def look(self) -> list[Arrival]:
        return list(self.reader.read(self.marks))

    def settled(self) -> list[Arrival]:
        """What a look gives once everything has lain still for long enough."""
        self.look()
        self.seconds += self.rules.settle_ms / 1000
        return self.look()

    def take(self, *, understood: bool = True) -> list[bytes]:
        """Everything, as the agent does it: kept, then finished with."""
        taken = []
        for arrival in self.settled():
            self.marks[arrival.name] = arrival.mark
            self.reader.finish(arrival, understood=understood)
            if not arrival.known:
                taken.append(arrival.payload)
        return taken

    def restart(self) -> None:
        self.reader.close()
        self.reader = FolderReader(self.folder, self.rules, now=self.now)

    def write(self, name: str, content: bytes = b"RECEIPT", *, age_s: float = 0) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        moment = 1_700_000_000 - age_s
        os.utime(path, (moment, moment))
        return path

    def names(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if not path.is_dir())


@pytest.fixture
def dropped(tmp_path: Path) -> Iterator[Dropped]:
    folder = tmp_path / "drop"
    folder.mkdir()
    dropped = Dropped(folder, FolderRules())
    yield dropped
    dropped.reader.close()


def other(dropped: Dropped, rules: FolderRules) -> Dropped:
    dropped.rules = rules
    dropped.restart()
    return dropped


def test_a_file_is_whole_once_it_has_lain_still(dropped: Dropped) -> None:
    path = dropped.write("a.txt", b"HALF")

    assert dropped.look() == []
    dropped.seconds += 0.9
    assert dropped.look() == []
    path.write_bytes(b"HALF AND THE OTHER HALF")
    dropped.seconds += 0.9
    assert dropped.look() == []  # the time counts anew
    dropped.seconds += 1.0
    assert [arrival.payload for arrival in dropped.look()] == [b"HALF AND THE OTHER HALF"]


def test_a_renamed_file_is_whole_at_once_and_a_temporary_name_never(dropped: Dropped) -> None:
    other(dropped, FolderRules(complete="rename", pattern="*.xml"))
    half = dropped.write("sale.xml.part", b"HALF")
    assert dropped.look() == []

    half.write_bytes(b"WHOLE")
    half.rename(dropped.folder / "sale.xml")
    dropped.write("notes.txt")

    assert [arrival.payload for arrival in dropped.look()] == [b"WHOLE"]


def test_a_closed_file_is_whole_and_an_open_one_is_not(dropped: Dropped) -> None:
    other(dropped, FolderRules(complete="close", settle_ms=600_000))
    with (dropped.folder / "a.txt").open("wb") as still_written:
        still_written.write(b"HALF")
        still_written.flush()
        assert dropped.look() == []
        dropped.seconds += 3600
        assert dropped.look() == []
        still_written.write(b" WHOLE")

    dropped.look()
    with suppress(IndexError):  # a file system that cannot tell falls back to the settling time
        assert dropped.look()[0].payload == b"HALF WHOLE"


def test_files_come_oldest_first_and_then_by_name(dropped: Dropped) -> None:
    for name, age_s in (("c", 5), ("b", 9), ("a", 5), ("z", 30)):
        dropped.write(name, name.encode(), age_s=age_s)

    assert dropped.take() == [b"z", b"b", b"a", b"c"]


@pytest.mark.parametrize(
    ("afterwards", "understood", "left"),
    [
        ("move", True, ["done/a.txt"]),
        ("move", False, ["failed/a.txt"]),
        ("delete", True, []),
        ("delete", False, ["failed/a.txt"]),
        ("leave", True, ["a.txt"]),
        ("leave", False, ["a.txt"]),
    ],
)
def test_a_file_goes_where_the_rules_say(
    dropped: Dropped, afterwards: folder_source.Afterwards, understood: bool, left: list[str]
) -> None:
    other(dropped, FolderRules(afterwards=afterwards))
    dropped.write("a.txt")

    assert dropped.take(understood=understood) == [b"RECEIPT"]

    assert dropped.names() == left
    assert dropped.take() == []
    dropped.restart()
    assert dropped.take() == []


def test_a_crash_between_commit_and_move_reads_nothing_again(dropped: Dropped) -> None:
    dropped.write("a.txt")
    (arrival,) = dropped.settled()
    dropped.marks[arrival.name] = arrival.mark  # committed; then the power goes
    dropped.restart()

    assert dropped.take() == []
    assert dropped.names() == ["done/a.txt"]


def test_the_same_file_dropped_again_is_known_and_another_of_its_name_is_not(dropped: Dropped) -> None:
    dropped.write("a.txt", b"FIRST")
    assert dropped.take() == [b"FIRST"]

    dropped.write("a.txt", b"FIRST", age_s=-60)
    assert dropped.take() == []
    dropped.write("a.txt", b"OTHER", age_s=-90)
    assert dropped.take() == [b"OTHER"]

    assert dropped.names() == ["done/2-a.txt", "done/3-a.txt", "done/a.txt"]


def test_a_file_that_grows_where_it_stays_is_read_again(dropped: Dropped) -> None:
    other(dropped, FolderRules(afterwards="leave"))
    dropped.write("journal.txt", b"ONE")
    assert dropped.take() == [b"ONE"]

    dropped.write("journal.txt", b"ONE TWO")

    assert dropped.take() == [b"ONE TWO"]
    assert dropped.take() == []


def test_what_cannot_be_moved_stays_and_is_not_given_again_and_again(dropped: Dropped) -> None:
    dropped.write("a.txt")
    (dropped.folder / "done").write_text("no folder")  # stands where files should go

    assert dropped.take() == [b"RECEIPT", b"no folder"]
    assert dropped.look() == []

    assert dropped.names() == ["a.txt", "done"]


def test_a_file_replaced_while_it_was_booked_is_read_as_well(dropped: Dropped) -> None:
    dropped.write("a.txt", b"FIRST")
    (arrival,) = dropped.settled()
    dropped.marks[arrival.name] = arrival.mark
    fresh = dropped.write("b.tmp", b"SECOND")
    fresh.rename(dropped.folder / "a.txt")

    dropped.reader.finish(arrival, understood=True)

    assert dropped.take() == [b"SECOND"]


def test_files_that_lay_there_before_say_themselves_when_they_were_written(dropped: Dropped) -> None:
    dropped.write("old.txt", age_s=0)
    (old,) = dropped.settled()
    dropped.reader.finish(old, understood=True)
    dropped.marks[old.name] = old.mark
    dropped.look()
    dropped.write("new.txt", age_s=-1)

    (new,) = dropped.settled()

    assert old.captured == Instant(wall=datetime.fromtimestamp(1_700_000_000, UTC), boot="", monotonic_ns=0)
    assert new.captured.boot == "b"


@pytest.mark.parametrize("complete", ["rename", "size", "close"])
def test_nothing_outside_a_hostile_folder_is_opened(
    dropped: Dropped, tmp_path: Path, complete: folder_source.Complete
) -> None:
    # given
    other(dropped, FolderRules(complete=complete))
    secret = tmp_path / "secret.txt"
    secret.write_bytes(b"SECRET")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "far.txt").write_bytes(b"SECRET")
    (dropped.folder / "link.txt").symlink_to(secret)
    (dropped.folder / "dangling.txt").symlink_to(tmp_path / "nothing")
    (dropped.folder / "folder.txt").symlink_to(tmp_path / "elsewhere")
    os.link(secret, dropped.folder / "hard.txt")
    os.mkfifo(dropped.folder / "fifo.txt")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(dropped.folder / "socket.txt"))
    dropped.write("good.txt", b"GOOD")

    # when
    arrivals = dropped.settled() if complete != "rename" else [*dropped.look(), *dropped.settled()]

    # then
    reasons = {arrival.name: arrival.refused.reason for arrival in arrivals if arrival.refused is not None}
    assert reasons == {
        "link.txt": "not_a_file",
        "dangling.txt": "not_a_file",
        "folder.txt": "not_a_file",
        "fifo.txt": "not_a_file",
        "socket.txt": "not_a_file",
        "hard.txt": "linked_file",
    }
    read = {arrival.payload for arrival in arrivals if arrival.refused is None}
    assert read == {b"GOOD"}
    for arrival in arrivals:
        dropped.marks[arrival.name] = arrival.mark
        dropped.reader.finish(arrival, understood=arrival.refused is None)
    assert dropped.settled() == []
    assert secret.read_bytes() == b"SECRET"
    assert secret.stat().st_nlink == 2


def test_a_link_put_in_a_files_place_at_the_last_moment_is_not_followed(dropped: Dropped, tmp_path: Path) -> None:
    # given a clock that swaps the file between the listing and the opening
    secret = tmp_path / "secret.txt"
    secret.write_bytes(b"SECRET!")
    path = dropped.write("a.txt", b"RECEIPT")
    dropped.look()
    dropped.seconds += 1.0
    calls = 0

    def swapping() -> Instant:
        nonlocal calls
        calls += 1
        if calls == 2:  # the first is the listing's, the second asks whether the file lies still
            path.unlink()
            path.symlink_to(secret)
        return dropped.now()

    dropped.reader._now = swapping

    # when, then
    arrivals = dropped.look()
    assert calls >= 2
    assert b"SECRET!" not in [arrival.payload for arrival in arrivals]


def test_a_folder_swapped_for_a_link_takes_and_gives_nothing_elsewhere(dropped: Dropped, tmp_path: Path) -> None:
    # given
    dropped.write("a.txt", b"OURS")
    (arrival,) = dropped.settled()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.txt").write_bytes(b"THEIRS")

    # when the folder becomes a link while the file is booked
    dropped.folder.rename(tmp_path / "aside")
    dropped.folder.symlink_to(elsewhere)
    dropped.reader.finish(arrival, understood=True)

    # then the file went to the folder that it was read from, and the link is not followed
    assert (tmp_path / "aside" / "done" / "a.txt").read_bytes() == b"OURS"
    assert [path.name for path in elsewhere.iterdir()] == ["a.txt"]
    with pytest.raises(FolderError, match="name the folder itself"):
        dropped.look()


def test_a_place_for_done_files_that_leads_elsewhere_is_not_used(dropped: Dropped, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (dropped.folder / "done").symlink_to(tmp_path / "elsewhere")
    dropped.write("a.txt")

    dropped.take()

    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert (dropped.folder / "a.txt").exists() or (dropped.folder / "failed" / "a.txt").exists()


def test_a_file_too_large_is_never_read(dropped: Dropped) -> None:
    with (dropped.folder / "huge.txt").open("wb") as file:
        file.truncate(folder_source.MAX_FILE_BYTES + 1)

    (arrival,) = dropped.settled()

    assert arrival.refused is not None
    assert arrival.refused.reason == "too_large"
    assert len(arrival.payload) < 100


def test_one_look_holds_no_more_than_its_bounds(dropped: Dropped) -> None:
    for number in range(folder_source.MAX_FILES_PER_READ + 5):
        dropped.write(f"{number:04}.txt", b"%d" % number)

    taken = [*dropped.take(), *dropped.take()]

    assert taken == [b"%d" % number for number in range(folder_source.MAX_FILES_PER_READ + 5)]


def test_the_name_of_a_file_is_kept_without_a_card_number(dropped: Dropped) -> None:
    other(dropped, FolderRules(afterwards="leave"))
    dropped.write("4111111111111111.txt", b"ONE")
    dropped.write("4012888888881881.txt", b"TWO")
    (dropped.folder / os.fsdecode(b"caf\xe9.txt")).write_bytes(b"THREE")

    assert sorted(dropped.take()) == [b"ONE", b"THREE", b"TWO"]

    kept = " ".join(dropped.marks)
    assert "4111111111111111" not in kept
    assert kept.encode()  # valid Unicode
    assert dropped.take() == []


def test_a_missing_folder_is_told_with_the_remedy(tmp_path: Path) -> None:
    reader = FolderReader(tmp_path / "nothing", FolderRules())

    with pytest.raises(FolderError, match="connect the share"):
        reader.read({})


async def test_it_wakes_when_a_file_comes(dropped: Dropped) -> None:
    other(dropped, FolderRules(complete="rename"))
    assert dropped.look() == []
    await dropped.reader.changed()  # the watch begins
    dropped.write("a.tmp").rename(dropped.folder / "a.txt")

    await dropped.reader.changed()

    assert [arrival.payload for arrival in dropped.look()] == [b"RECEIPT"]


def test_random_drops_are_each_read_once_and_whole(dropped: Dropped) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    other(dropped, FolderRules(afterwards=chance.choice(("move", "delete", "leave"))))
    expected: set[bytes] = set()
    taken: list[bytes] = []
    half: dict[str, bytes] = {}

    for number in range(150):
        step = chance.random()
        if step < 0.4:
            name, content = f"{number}.txt", b"%d " % number * chance.randrange(1, 2000)
            cut = chance.randrange(len(content))
            (dropped.folder / name).write_bytes(content[:cut])
            half[name] = content[cut:]
            expected.add(content)
        elif step < 0.7 and half:
            name = chance.choice(sorted(half))
            with (dropped.folder / name).open("ab") as file:
                file.write(half.pop(name))
        else:
            # the POS never rests for the settling time within a file, except once it is whole
            dropped.seconds += 0.4
            for arrival in dropped.look() if not half else ():
                dropped.marks[arrival.name] = arrival.mark
                if not arrival.known:
                    taken.append(arrival.payload)
                if chance.random() < 0.3:
                    dropped.restart()
                    break
                dropped.reader.finish(arrival, understood=True)
    for name, rest in half.items():
        with (dropped.folder / name).open("ab") as file:
            file.write(rest)
    for _ in range(3):
        taken += dropped.take()

    assert sorted(taken) == sorted(expected), f"seed {seed}"
