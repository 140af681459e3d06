"""A POS's own database, on SQLite and on PostgreSQL: read only, each receipt once, whatever is committed when."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text

from drivers.receipts import database_source
from drivers.receipts.arrivals import Arrival
from drivers.receipts.database_source import DatabaseReader, DatabaseRules, DatabaseSourceError, secret_of
from drivers.receipts.port import DecodeOptions
from drivers.receipts.row_mapping import mapping_from
from tests.agent.shop import at

QUERY = """
SELECT s.id, s.number, s.sold_at, s.total, l.name, l.amount FROM sales s LEFT JOIN lines l ON l.sale = s.id
WHERE s.id > :high_water ORDER BY s.id, l.id"""
MAPPING = b"""
group = ["id"]
dates = ["yyyy-mm-dd"]
[receipt]
number = "number"
issued_at = ["sold_at"]
total = "total"
[line]
description = "name"
amount = "amount"
"""
OPTIONS = DecodeOptions(currency="EUR", time_zone="Europe/Ljubljana", store="12", register="3")


def rules(**changed: Any) -> DatabaseRules:
    return DatabaseRules(**{"query": QUERY, "high_water": "id", "mapping": mapping_from(MAPPING, "test"), **changed})


class Pos:
    """A POS's database, written by the POS and read by a reader."""

    def __init__(self, url: str, writes: Engine) -> None:
        self.url = url
        self.writes = writes
        self.marks: dict[str, str] = {}
        self.reader = self.reading()
        with writes.begin() as connection:
            connection.execute(
                text("CREATE TABLE sales (id bigint, number text, sold_at timestamp, total numeric(9,2))")
            )
            connection.execute(text("CREATE TABLE lines (id bigint, sale bigint, name text, amount numeric(9,2))"))

    def reading(self, **changed: Any) -> DatabaseReader:
        return DatabaseReader(self.url, rules(**changed), lambda: OPTIONS, environment={}, now=lambda: at(1e6))

    def restart(self, **changed: Any) -> None:
        self.reader.close()
        self.reader = self.reading(**changed)

    def sell(self, *ids: int) -> None:
        with self.writes.begin() as connection:
            for sale in ids:
                facts = {"id": sale, "number": f"N{sale}"}
                connection.execute(text("INSERT INTO sales VALUES (:id, :number, '2026-11-22 10:07:00', 7.50)"), facts)
                for line, (name, amount) in enumerate((("KAFA", "5.00"), ("ČAJ", "2.50"))):
                    row = {"id": sale * 10 + line, "sale": sale, "name": name, "amount": amount}
                    connection.execute(text("INSERT INTO lines VALUES (:id, :sale, :name, :amount)"), row)

    def look(self) -> list[Arrival]:
        return list(self.reader.read(self.marks))

    def take(self) -> list[str]:
        """Numbers of the receipts, as the agent takes them: all that there are."""
        numbers = []
        while arrivals := self.look():
            for arrival in arrivals:
                assert arrival.decoded is not None
                numbers += [str(receipt.number) for receipt in arrival.decoded.receipts]
                self.marks[arrival.name] = arrival.mark
        return numbers


@pytest.fixture(params=["sqlite", "postgresql"])
def pos(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pos]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'pos of the shop.db'}"
        writes = create_engine(url)
    else:
        url = request.getfixturevalue("postgres").database()
        writes = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    pos = Pos(url, writes)
    yield pos
    pos.reader.close()
    writes.dispose()


def test_rows_become_receipts_and_come_once(pos: Pos) -> None:
    pos.sell(1, 2)

    first = pos.look()

    assert first[0].decoded is not None
    (receipt,) = first[0].decoded.receipts
    assert (receipt.number, receipt.total_minor, receipt.currency) == ("N1", 750, "EUR")
    assert [(line.description, line.amount_minor) for line in receipt.lines] == [("KAFA", 500), ("ČAJ", 250)]
    assert first[0].captured.wall == receipt.issued_at
    pos.restart()
    assert pos.take() == ["N1", "N2"]
    assert pos.take() == []
    pos.sell(3)
    assert pos.take() == ["N3"]


@pytest.mark.parametrize(
    ("amounts", "code"), [(("900000000000.00", "900000000000.00"), "out_of_bounds"), (("٣",), "bad_amount")]
)
def test_a_receipt_beyond_the_contract_is_a_problem(pos: Pos, amounts: tuple[str, ...], code: str) -> None:
    # given rows whose sum no receipt can hold, or whose digits are not those of the contract
    facts = "SELECT 1 AS id, 'N1' AS number, '2026-11-22 10:07:00' AS sold_at, '' AS total, 'KAFA' AS name"
    rows = " UNION ALL ".join(f"{facts}, '{amount}' AS amount WHERE 1 > :high_water" for amount in amounts)
    # when they are read
    (arrival,) = pos.reading(query=rows).read({})
    # then they are told, and kept
    assert arrival.decoded is not None
    assert arrival.decoded.receipts == ()
    assert [problem.code for problem in arrival.decoded.problems] == [code]


def test_a_number_too_long_to_be_found_by_is_a_problem(pos: Pos) -> None:
    facts = f"'{'1' * 256}' AS number, '2026-11-22 10:07:00' AS sold_at, '' AS total, 'KAFA' AS name, '1.00' AS amount"
    (arrival,) = pos.reading(query=f"SELECT 1 AS id, {facts} WHERE 1 > :high_water").read({})
    assert arrival.decoded is not None
    assert arrival.decoded.receipts == ()
    [problem] = arrival.decoded.problems
    assert (problem.code, "`number` has more than 255 characters" in problem.detail) == ("out_of_bounds", True)


def test_it_goes_on_after_a_restart(pos: Pos) -> None:
    pos.sell(1, 2)
    pos.take()
    pos.restart()
    pos.sell(3)

    assert pos.take() == ["N3"]


def test_a_row_committed_late_with_a_lower_number_is_found_within_the_overlap(pos: Pos) -> None:
    pos.sell(10, 400)
    pos.take()

    pos.sell(101)
    pos.sell(99)

    assert pos.take() == ["N101"]  # 400 − 300 = 100 is where it looks again
    pos.restart()
    assert pos.take() == []


def test_more_than_one_reading_holds_comes_in_several(pos: Pos) -> None:
    count = database_source.MAX_RECEIPTS_PER_READ + 30
    pos.sell(*range(1, count + 1))

    assert len(pos.look()) == database_source.MAX_RECEIPTS_PER_READ
    pos.restart()
    assert pos.take() == [f"N{number}" for number in range(1, count + 1)]


def test_a_query_that_writes_changes_nothing(pos: Pos) -> None:
    pos.sell(1)
    columns = "'N1' AS number, '2026-11-22' AS sold_at, 1 AS total, '' AS name, '' AS amount"
    query = f"DELETE FROM sales WHERE id > :high_water RETURNING id, {columns}"
    if pos.url.startswith("postgresql"):
        with pos.writes.begin() as connection:
            emptying = "CREATE FUNCTION emptied() RETURNS bigint LANGUAGE sql AS 'DELETE FROM sales; SELECT 1::bigint'"
            connection.execute(text(emptying))
        query = f"SELECT emptied() AS id, {columns} WHERE 1 > :high_water"
    pos.restart(query=query)

    with pytest.raises(DatabaseSourceError, match=r"read-?only"):
        pos.look()

    pos.restart()
    assert pos.take() == ["N1"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"query": QUERY.replace("ORDER BY s.id, l.id", "ORDER BY s.id DESC")}, "ORDER BY id"),
        ({"query": QUERY.replace("s.total", "s.total AS sum")}, "gives no column 'total'"),
        ({"query": QUERY.replace("sales", "nothing")}, "nothing"),
        ({"high_water": "nowhere"}, "gives no column 'nowhere'"),
        ({"high_water": "number"}, "no ISO time"),
    ],
)
def test_what_is_wrong_is_told_with_the_remedy(pos: Pos, changed: dict[str, Any], said: str) -> None:
    pos.sell(1, 2)
    pos.restart(**changed)

    with pytest.raises(DatabaseSourceError, match=said):
        pos.take()


def test_a_time_may_be_the_high_water(pos: Pos) -> None:
    pos.sell(1)
    query = QUERY.replace("s.id > :high_water ORDER BY s.id", "s.sold_at > :high_water ORDER BY s.sold_at, s.id")
    changed = {"query": query, "high_water": "sold_at", "start": "2026-11-01 00:00:00"}
    pos.restart(**changed)
    assert pos.take() == ["N1"]

    pos.sell(2)  # in the same second
    pos.restart(**changed)

    assert pos.take() == ["N2"]


def test_a_row_that_cannot_be_read_costs_itself(pos: Pos) -> None:
    pos.sell(1, 2, 3)
    with pos.writes.begin() as connection:
        connection.execute(text("UPDATE sales SET sold_at = NULL, total = NULL WHERE id = 2"))
        connection.execute(text("DELETE FROM lines WHERE sale = 2"))

    arrivals = pos.look()

    problems = [each.decoded.problems for each in arrivals if each.decoded is not None]
    assert [len(found) for found in problems] == [0, 1, 0]
    (problem,) = problems[1]
    assert b'"number":"N2"' in arrivals[1].payload[problem.start : problem.end]


def test_sales_committed_in_any_order_are_each_given_once(pos: Pos) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    numbers = list(range(1, 60))
    order = sorted(numbers, key=lambda number: number + chance.randrange(40))
    taken = []
    for number in order:
        pos.sell(number)
        if chance.random() < 0.4:
            taken += pos.take()
        if chance.random() < 0.1:
            pos.restart()
    taken += pos.take()

    assert sorted(taken) == sorted(f"N{number}" for number in numbers), f"seed {seed}"


def test_a_database_that_is_not_there_is_told_without_its_password() -> None:
    url = "postgresql://till:s3cret-word@127.0.0.1:1/pos"
    reader = DatabaseReader("env:POS", rules(), lambda: OPTIONS, environment={"POS": url})

    with pytest.raises(DatabaseSourceError) as raised:
        reader.read({})

    told = f"{raised.value}{raised.value.__cause__}"
    assert "s3cret-word" not in told
    assert "`database`" in told


def test_a_missing_file_of_sqlite_is_not_made(tmp_path: Path) -> None:
    reader = DatabaseReader(f"sqlite:///{tmp_path / 'none.db'}", rules(), lambda: OPTIONS, environment={})

    with pytest.raises(DatabaseSourceError, match="unable to open"):
        reader.read({})

    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("env:NOWHERE", "NOWHERE is not set"),
        ("credential:pos", "LoadCredential="),
        ("credential:../pos", "LoadCredential="),
        ("not a url", "is no URL"),
        ("oracle://till:s3cret-word@host/pos", "no driver for oracle"),
    ],
)
def test_a_reference_that_leads_nowhere_is_told(reference: str, said: str) -> None:
    reader = DatabaseReader(reference, rules(), lambda: OPTIONS, environment={})

    with pytest.raises(DatabaseSourceError, match=said) as raised:
        reader.read({})

    assert "s3cret-word" not in str(raised.value)


def test_the_url_may_be_a_credential_of_the_service(tmp_path: Path) -> None:
    (tmp_path / "pos").write_text("sqlite:///pos.db\n")

    assert secret_of("credential:pos", {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == "sqlite:///pos.db"


async def test_it_looks_again_after_the_time_that_is_set() -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    reader = DatabaseReader("sqlite://", rules(poll_s=7), lambda: OPTIONS, environment={}, sleep=sleep)

    await reader.changed()

    assert waited == [7]
