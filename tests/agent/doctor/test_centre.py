"""What `doctor` sees of the centre: whether it answers by the way that the exchange takes, and whose clock is off."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from socket import create_server

import pytest

from agent.doctor.centre import Sight, seen
from agent.doctor.checks import Check, Surroundings, checked
from config.settings import CentreSettings, PathSettings, Settings
from sync.delayed_enrolment import DelayedCode, keep_code, note
from sync.enrolling import enrol
from sync.enrolment import EnrolmentCode, parse_code
from sync.keys import keeper_for
from tests.sync.centre import FACTS, Centre, running_centre, utc_now
from tests.sync.test_network import proxying


async def let_in(centre: Centre, folder: Path) -> None:
    await enrol(parse_code(centre.code()), folder, keeper_for(folder), FACTS, now=utc_now())


def settings(folder: Path, **centre: str) -> Settings:
    return Settings(paths=PathSettings(state=folder), centre=CentreSettings(**centre))  # type: ignore[arg-type]


async def let_in_by(code: EnrolmentCode, folder: Path) -> None:
    await enrol(code, folder, keeper_for(folder), FACTS, now=utc_now())


async def told(sight: Sight) -> list[Check]:
    """What the report says of centre and clock."""

    async def sees(_settings: Settings) -> Sight:
        return sight

    report = await checked(Surroundings(settings=Settings(), file=Path("none.toml"), sees=sees))
    return [check for check in report.checks if check.area in ("centre", "clock")]


async def test_a_centre_that_answers_is_seen_directly_and_through_a_proxy(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre, proxying() as proxy:
        await let_in(centre, tmp_path)

        directly = await seen(settings(tmp_path, proxy="none"))
        through = await seen(settings(tmp_path, proxy=f"http://till:secret@127.0.0.1:{proxy.port}"))

    assert directly is not None
    assert (directly.way, directly.problem) == (centre.url, "")
    assert directly.clock_behind_s is not None
    assert through is not None
    assert through.way == f"{centre.url}, through the proxy 127.0.0.1:{proxy.port}"


async def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        await let_in(centre, tmp_path)
    with closing(create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]

    gone = await seen(settings(tmp_path, proxy="none"))
    no_proxy = await seen(settings(tmp_path, proxy=f"http://127.0.0.1:{port}"))

    assert gone is not None
    assert "cannot be reached" in gone.problem
    assert no_proxy is not None
    assert f"the proxy 127.0.0.1:{port} cannot be reached" in no_proxy.problem


async def test_nothing_is_looked_for_where_nobody_enrolled_the_machine(tmp_path: Path) -> None:
    assert await seen(settings(tmp_path)) is None


@pytest.mark.parametrize(
    ("behind_s", "verdict", "said"),
    [(2.0, "healthy", "goes with"), (3600.0, "degraded", "3600 s behind"), (-90.0, "degraded", "90 s ahead of")],
)
async def test_a_clock_that_is_off_is_told(behind_s: float, verdict: str, said: str) -> None:
    way, clock = await told(Sight(way="https://centre", clock_behind_s=behind_s))

    assert (way.verdict, clock.verdict) == ("healthy", verdict)
    assert said in clock.said


async def test_a_centre_that_is_away_degrades(tmp_path: Path) -> None:
    [way] = await told(Sight(problem="https://centre cannot be reached; check the network"))

    assert (way.verdict, "check the network" in way.said) == ("degraded", True)


async def test_the_way_of_a_code_that_waits_is_looked_along_and_the_code_is_not_used(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        # Given a machine with a code that waits
        code = parse_code(centre.code())
        keep_code(tmp_path, DelayedCode(code=code))

        seen_there = await seen(settings(tmp_path, proxy="none"))
        # Then its centre answers, and the code is good as before
        assert seen_there is not None
        assert (seen_there.way, seen_there.problem) == (centre.url, "")
        await let_in_by(code, tmp_path / "till")
    gone = await seen(settings(tmp_path, proxy="none"))
    assert gone is not None
    assert "no usable answer" in gone.problem
    assert "same code" not in gone.problem

    # And what became of it is said
    note(tmp_path, DelayedCode(code=code), "used before", utc_now(), refused=True)
    report = await checked(Surroundings(settings=settings(tmp_path), file=Path("none.toml")))
    [enrolment] = [check for check in report.checks if check.area == "enrolment"]
    assert (enrolment.verdict, "was refused" in enrolment.said) == ("not_enrolled", True)


@pytest.mark.parametrize("proxy", ["http://u:a?b@h", "socks5://proxy.shop:1080"])
async def test_a_proxy_of_the_system_that_cannot_be_used_is_named(
    tmp_path: Path, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        await let_in(centre, tmp_path)
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    monkeypatch.setenv("NO_PROXY", "")

    sight = await seen(settings(tmp_path))

    assert sight is not None
    assert "centre.proxy" in sight.problem
    assert "HTTPS_PROXY" in sight.problem
