"""`tillside pos-token`: what a POS sends with the receipts that it posts."""

from __future__ import annotations

from msgspec import Struct

from agent.cli.connection import let_go_of_revoked
from agent.cli.exit_codes import DONE
from agent.cli.outcome import guarded, say, say_json
from agent.pos_token import pos_token, renewed_pos_token
from agent.state import keeper_of
from config.load import load_settings


class PosToken(Struct, frozen=True, kw_only=True):
    """The token, and the address it is for."""

    token: str
    url: str


def pos_token_command(*, config: str | None, renew: bool, as_json: bool) -> int:
    """Print the token, made the first time, or another. The agent need not run.

    Exit codes: 0 done, 1 problem, 2 usage.
    """

    def work() -> int:
        settings = load_settings(config)
        keeper = keeper_of(settings)
        token = renewed_pos_token(keeper) if renew else pos_token(keeper)
        if renew:
            let_go_of_revoked(settings)
        url = f"http://{settings.page.host}:{settings.page.port}/v1/receipts"
        if as_json:
            say_json(PosToken(token=token, url=url))
            return DONE
        say(f"POST {url}")
        say(f"Authorization: Bearer {token}")
        if not any(source.webhook for source in settings.receipts):
            say("No source of this register takes calls yet: write webhook = true under a [[receipts]].")
        return DONE

    return guarded("pos-token", work, as_json=as_json)
