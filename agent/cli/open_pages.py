"""`tillside open --list` and `--forget`: the browsers that have the cashier page or the customer view."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from msgspec import Struct

from agent.access import ROLE_OF, View
from agent.cli.connection import let_go_of_revoked
from agent.cli.exit_codes import DONE
from agent.cli.outcome import guarded, say, say_json
from agent.tokens import page_tokens
from config.load import load_settings, state_folder

ALL: Final = "all"


class OpenPage(Struct, frozen=True, kw_only=True):
    """What one browser has: which page, of the register at which address, since when."""

    id: str
    view: View
    url: str
    opened: datetime


class OpenPages(Struct, frozen=True, kw_only=True):
    """All of them, the oldest first."""

    pages: tuple[OpenPage, ...]


def list_command(*, config: str | None, as_json: bool) -> int:
    """Print which there are. The agent need not run. Exit codes: 0 done, 1 problem, 2 usage."""

    def work() -> int:
        view_of: dict[str, View] = {role: view for view, role in ROLE_OF.items()}
        pages = tuple(
            OpenPage(id=token.id, view=view_of[token.role], url=token.origin, opened=token.made)
            for token in page_tokens(state_folder(load_settings(config))).all()
        )
        if as_json:
            say_json(OpenPages(pages=pages))
            return DONE
        for page in pages:
            say(f"{page.id}  {page.view:<8}  {page.url}  {page.opened:%Y-%m-%d %H:%M} UTC")
        if not pages:
            say("No browser has a page of this register.")
        return DONE

    return guarded("open", work, as_json=as_json)


def forget_command(*, which: str, config: str | None, as_json: bool) -> int:
    """Let one browser, or all, have no page from now on. Exit codes: 0 done, 1 not known or a problem, 2 usage."""

    def work() -> int:
        settings = load_settings(config)
        tokens = page_tokens(state_folder(settings))
        if which == ALL:
            tokens.revoke_all()
        else:
            tokens.revoke(which)
        let_go_of_revoked(settings)
        return list_command(config=config, as_json=True) if as_json else DONE

    return guarded("open", work, as_json=as_json)
