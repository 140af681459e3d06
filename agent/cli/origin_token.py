"""`tillside pos-token --origin`, `--list` and `--revoke`: the tokens of pages that a browser has from elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec import Struct

from agent.access import Role
from agent.cli.connection import let_go_of_revoked
from agent.cli.exit_codes import DONE, PROBLEM, USAGE
from agent.cli.outcome import complain, guarded, say, say_json
from agent.tokens import origin_tokens
from config.load import load_settings, state_folder
from config.web_origins import origin_problem


class MadeToken(Struct, frozen=True, kw_only=True):
    """A new token: `token` is told here and never again. `url` is where its page calls."""

    id: str
    origin: str
    role: Role
    token: str
    url: str


class ListedToken(Struct, frozen=True, kw_only=True):
    """One that is there. With `let_in` false the settings do not name its origin, and it opens nothing."""

    id: str
    origin: str
    role: Role
    made: datetime
    let_in: bool


class ListedTokens(Struct, frozen=True, kw_only=True):
    """All of them, the oldest first."""

    tokens: tuple[ListedToken, ...]


def make_command(*, origin: str, role: Role, config: str | None, as_json: bool) -> int:
    """Make one and print it. The agent need not run. Exit codes: 0 done, 1 problem, 2 usage."""

    def work() -> int:
        settings = load_settings(config)
        wrong = origin_problem(origin)
        if wrong is not None:
            return complain("pos-token", f"{wrong[0]}. {wrong[1]}", USAGE, as_json=as_json)
        if origin not in settings.page.origins:
            return complain("pos-token", _not_let_in(origin), PROBLEM, as_json=as_json)
        token, text = origin_tokens(state_folder(settings)).make(origin, role, datetime.now(UTC))
        url = f"http://{settings.page.host}:{settings.page.port}"
        if as_json:
            say_json(MadeToken(id=token.id, origin=origin, role=role, token=text, url=url))
            return DONE
        say(f"A page of {origin} sends to {url}:")
        say(f"Authorization: Bearer {text}")
        say(f"It cannot be printed again. To take it back: tillside pos-token --revoke {token.id}")
        return DONE

    return guarded("pos-token", work, as_json=as_json)


def list_command(*, config: str | None, as_json: bool) -> int:
    """Print which there are, never a token itself. Exit codes: 0 done, 1 problem, 2 usage."""

    def work() -> int:
        settings = load_settings(config)
        listed = tuple(
            ListedToken(
                id=token.id,
                origin=token.origin,
                role=token.role,
                made=token.made,
                let_in=token.origin in settings.page.origins,
            )
            for token in origin_tokens(state_folder(settings)).all()
        )
        if as_json:
            say_json(ListedTokens(tokens=listed))
            return DONE
        for one in listed:
            note = "" if one.let_in else "  refused: not among [page] origins"
            say(f"{one.id}  {one.role:<4}  {one.origin}  {one.made:%Y-%m-%d %H:%M} UTC{note}")
        if not listed:
            say("No page of another origin has a token.")
        return DONE

    return guarded("pos-token", work, as_json=as_json)


def revoke_command(*, name: str, config: str | None, as_json: bool) -> int:
    """Let one open nothing from now on. Exit codes: 0 done, 1 there is no such token or a problem, 2 usage."""

    def work() -> int:
        settings = load_settings(config)
        origin_tokens(state_folder(settings)).revoke(name)
        let_go_of_revoked(settings)
        return list_command(config=config, as_json=True) if as_json else DONE

    return guarded("pos-token", work, as_json=as_json)


def _not_let_in(origin: str) -> str:
    return (
        f'{origin} is not let in: write origins = ["{origin}"] under [page] in the settings, start the agent again, '
        "and run this once more"
    )
