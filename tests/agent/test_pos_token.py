"""The token of a POS: good for receipts and members alone, the same over restarts, and refused once it is renewed."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from agent.access import Access
from agent.cli.exit_codes import DONE, PROBLEM
from agent.cli.pos_token import pos_token_command
from agent.pos_token import POS_KEY, pos_token, renewed_pos_token, token_in_force
from sync.keys import keeper_for
from sync.keys_linux import LinuxKeyKeeper, SecretGivenError
from tests.agent.shop import Shop
from tests.agent.test_api import Served


def access(folder: Path) -> Access:
    """The gate of a register that starts on this state folder."""
    keeper = keeper_for(folder)
    return Access(
        host="127.0.0.1",
        port=8787,
        control_token="control",
        monotonic_s=lambda: 0.0,
        token=lambda: "token",
        own_role_of=lambda _origin, _cookie: None,
        admit=lambda _origin, _role: "",
        pos_token=lambda: token_in_force(keeper),
    )


def test_a_token_lives_over_restarts_until_it_is_renewed(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    keeper = keeper_for(folder)
    # given nobody asked for one, nothing but the control token opens anything
    assert access(folder).party("Bearer ", None) is None
    token = pos_token(keeper)

    running = access(folder)
    assert running.party(f"Bearer {token}", None) == "pos"
    assert access(folder).party(f"Bearer {pos_token(keeper_for(folder))}", None) == "pos"
    assert stat.S_IMODE((folder / POS_KEY).stat().st_mode) == 0o600

    # when it is renewed, the running register refuses the one before
    other = renewed_pos_token(keeper)
    assert other != token
    assert running.party(f"Bearer {token}", None) is None
    assert running.party(f"Bearer {other}", None) == "pos"


def test_a_token_that_others_may_read_opens_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    token = pos_token(keeper_for(folder))
    (folder / POS_KEY).chmod(0o644)

    assert access(folder).party(f"Bearer {token}", None) is None


def test_a_token_given_by_the_system_is_renewed_there(tmp_path: Path) -> None:
    given = tmp_path / "credentials"
    given.mkdir()
    (given / POS_KEY).write_bytes(b"x" * 32)
    keeper = LinuxKeyKeeper(tmp_path / "state", {"CREDENTIALS_DIRECTORY": str(given)})

    assert pos_token(keeper) == token_in_force(keeper)
    with pytest.raises(SecretGivenError, match=r"/etc/credstore\.encrypted"):
        renewed_pos_token(keeper)


async def test_a_pos_may_post_receipts_ask_and_tell_of_members_and_serve_its_sales_and_nothing_else(shop: Shop) -> None:
    token = pos_token(keeper_for(shop.folder / "state"))
    served = Served(shop, pos_token=lambda: token)
    may = {("POST", path) for path in ("/v1/receipts", "/v1/returns", "/v1/members", "/v1/members/{code}")}
    may |= {("GET", "/v1/members/{code}"), ("GET", "/v1/events"), ("GET", "/v1/ping")}
    may |= {(route.method, route.path) for route in served.api.routes if route.path.startswith("/v1/sales")}
    async with served.running() as http:
        for route in served.api.routes:
            if route.open:
                continue
            path = route.path.replace("{", "").replace("}", "")
            async with http.request(
                route.method, served.url + path, headers={"Authorization": f"Bearer {token}"}
            ) as answer:
                assert (answer.status == 403) == ((route.method, route.path) not in may), route.path


# What a POS is promised.
PROMISED = (
    "POST /v1/sales",
    "PUT /v1/sales/{id}",
    "POST /v1/sales/{id}/member",
    "DELETE /v1/sales/{id}/member",
    "POST /v1/sales/{id}/redemptions",
    "DELETE /v1/sales/{id}/redemptions/{redemption}",
    "POST /v1/sales/{id}/close",
    "POST /v1/sales/{id}/void",
    "POST /v1/returns",
    "GET /v1/members/{code}",
    "POST /v1/members",
    "GET /v1/events",
)


@pytest.mark.parametrize("call", PROMISED)
def test_a_pos_may_call_all_that_it_is_promised(shop: Shop, call: str) -> None:
    assert call in {f"{route.method} {route.path}" for route in Served(shop).api.routes if route.pos}


async def test_a_pos_looks_a_member_up_by_code(shop: Shop) -> None:
    await shop.seed()
    token = pos_token(keeper_for(shop.folder / "state"))
    served = Served(shop, pos_token=lambda: token)
    async with (
        served.running() as http,
        http.get(f"{served.url}/v1/members/TS1001", headers={"Authorization": f"Bearer {token}"}) as answer,
    ):
        assert (answer.status, (await answer.json())["member"]) == (200, "m-ana")


def test_the_command_prints_it_and_makes_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "tillside.toml"
    file.write_text('[paths]\nstate = "state"\n[page]\nport = 9000\n')

    def printed(*, renew: bool) -> dict[str, str]:
        assert pos_token_command(config=str(file), renew=renew, as_json=True) == DONE
        return dict(json.loads(capsys.readouterr().out))

    first = printed(renew=False)
    assert first == {
        "token": token_in_force(keeper_for(tmp_path / "state")),
        "url": "http://127.0.0.1:9000/v1/receipts",
    }
    assert printed(renew=False) == first
    assert printed(renew=True) != first
    # and in words it says what is still missing
    assert pos_token_command(config=str(file), renew=False, as_json=False) == DONE
    assert "webhook = true" in capsys.readouterr().out
    (tmp_path / "state" / POS_KEY).write_bytes(b"short")
    assert pos_token_command(config=str(file), renew=False, as_json=False) == PROBLEM
