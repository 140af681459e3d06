"""Identification rules from a real centre to a real register, and what must not get through."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, update

from central import configs
from central.db import tables
from loyalty.centre_config import CentreConfig, config_hash
from loyalty.identification import IdentificationRule
from sync import base64url
from sync.configs import kept_config
from sync.session import HEARTBEAT_S
from tests.sync.centre import QUICK_HEARTBEAT_S, Centre, Register, register, running_centre, utc_now

PLASTIC = CentreConfig(identification=(IdentificationRule(name="plastic", prefixes=("29",), lengths=(13,)),))
PAPER = CentreConfig(identification=(IdentificationRule(name="paper", prefixes=("28",), lengths=(13,)),))


def publish(centre: Centre, config: CentreConfig) -> str:
    return str(centre.write(lambda c: configs.publish(c, config, centre.folder.program_key(), utc_now())))


def publish_document(centre: Centre, document: bytes) -> None:
    """What a centre of a later version might have in force, signed by its real key."""
    signature, hashed = base64url.encoded(centre.folder.program_key().sign(document)), config_hash(document)

    def work(connection: Connection) -> None:
        connection.execute(insert(tables.configs).values(hash=hashed, document=document, signature=signature))
        connection.execute(insert(tables.config_publications).values(config=hashed, published_at=utc_now()))

    centre.write(work)


def kept(till: Register) -> CentreConfig | None:
    found = kept_config(till.store, till.enrolment.program_key)
    return found[1] if found is not None else None


async def test_rules_come_with_the_first_heartbeat_and_stay_without_a_network(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        publish(centre, PLASTIC)
        async with register(tmp_path / "till", centre) as till:
            await till.until(lambda: till.configs == [PLASTIC] and kept(till) == PLASTIC)

        # when it starts again and reaches nobody
        async with register(tmp_path / "till", centre, exchanging=False) as till:
            assert kept(till) == PLASTIC

        # nor is what it has fetched again
        async with register(tmp_path / "till", centre) as till:
            await till.until(lambda: till.store.feed().as_of and till.loop.state.online)
            assert till.configs == []


async def test_new_rules_come_to_a_register_that_runs(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        publish(centre, PLASTIC)
        async with register(tmp_path / "till", centre, heartbeat_s=QUICK_HEARTBEAT_S) as till:
            await till.until(lambda: till.configs == [PLASTIC])

            publish(centre, PAPER)
            await till.until(lambda: till.configs == [PLASTIC, PAPER] and kept(till) == PAPER)

            publish(centre, CentreConfig(identification=()))
            await till.until(lambda: till.configs[2:] == [CentreConfig(identification=())])
            assert till.loop.state.problems == ()


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b'{"identification":[{"name":"gold","prefixes":["29"],"colour":"gold"}]}', "rule 1 'gold', colour"),
        (b'{"identification":[],"magic":true}', "'magic'"),
        (b"{", "update the register"),
    ],
)
async def test_rules_that_cannot_be_read_leave_the_old_ones(tmp_path: Path, document: bytes, words: str) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        publish(centre, PLASTIC)
        async with register(tmp_path / "till", centre) as till:
            await till.until(lambda: kept(till))
        publish_document(centre, document)

        async with register(tmp_path / "till", centre) as till:
            await till.until(lambda: till.loop.state.problems)

            [problem] = till.loop.state.problems
            assert problem.code == "config_unusable"
            assert words in problem.detail
            assert "update the register" in problem.detail
            assert till.loop.state.online
            assert till.configs == []
            assert kept(till) == PLASTIC


async def test_rules_that_were_tampered_with_are_refused(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        hashed = publish(centre, PLASTIC)
        document = b'{"identification":[{"lengths":[13],"name":"plastic","prefixes":["28"]}]}'
        centre.write(lambda c: c.execute(update(tables.configs).values(document=document)))

        async with register(tmp_path / "till", centre) as till:
            await till.until(lambda: till.loop.state.problems)

            assert "not signed by the centre" in till.loop.state.problems[0].detail
            assert till.configs == []
            assert kept(till) is None
            assert hashed != config_hash(document)


async def test_rules_signed_by_another_key_are_refused(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        publish(centre, PLASTIC)
        async with register(tmp_path / "till", centre, program_key="A" * 43) as till:
            await till.until(lambda: len(till.loop.state.problems) == 2)  # the program's and the rules'

            assert {problem.code for problem in till.loop.state.problems} == {"program_unusable", "config_unusable"}
            assert till.configs == []


async def test_a_register_enrolled_elsewhere_does_not_go_by_the_old_centres_rules(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        publish(centre, PLASTIC)
        async with register(tmp_path / "till", centre) as till:
            await till.until(lambda: till.configs)

        async with register(tmp_path / "till", centre, exchanging=False, program_key="A" * 43) as till:
            assert kept(till) is None


def test_news_of_rules_comes_within_half_a_minute() -> None:
    assert HEARTBEAT_S <= 30  # docs/central.md says so
