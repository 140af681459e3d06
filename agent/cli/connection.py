"""How a command asks a register: its running agent, or its store where none runs.

Owns finding the agent through `control.json` and translating its refusals. Never opens the store beside a
running agent: the store belongs to one process.
"""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Struct

from agent.access import Pairing, View
from agent.control import Control, read_control
from agent.inspection import (
    EntryReport,
    ExportReport,
    FoundMembers,
    Inspection,
    ItemReport,
    Lending,
    NotFoundError,
    QueueReport,
    Reread,
    RereadReport,
    Resolve,
    StatusReport,
)
from agent.problem import MEDIA_TYPE, Problem
from agent.supervisor import LET_GO_WITHIN_S
from config.load import state_folder
from config.settings import Settings
from loyalty.member import Member
from loyalty.undecodable import UNDECODABLE

# The agent answers from its own store; more than this and it hangs.
TIMEOUT_S = 5.0
# The agent's answer may take as long as a driver takes to let go of its port.
LEND_TIMEOUT_S = LET_GO_WITHIN_S + TIMEOUT_S
# Some papers hold pictures, which take a second each to read.
READ_TIMEOUT_S = 120.0
MAX_ANSWER_BYTES = 64 * 1024 * 1024
_JSON = ("application/json", MEDIA_TYPE)

T = TypeVar("T", bound=Struct)


class AgentUnreachableError(Exception):
    """The agent does not answer. The message says what to do."""


class RunningAgent:
    """Asks the agent that `control` tells of."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def status(self) -> StatusReport:
        return self._get("/v1/status", StatusReport)

    def status_as(self, kind: type[T]) -> T:
        """What `kind` has of the status, of an agent that may be of another version than this program."""
        return self._get("/v1/status", kind)

    def queue(self) -> QueueReport:
        return self._get("/v1/queue", QueueReport, timeout_s=READ_TIMEOUT_S)

    def entry(self, number: int) -> EntryReport:
        return self._get(f"/v1/queue/{number}", EntryReport)

    def retry(self, number: int) -> None:
        self._exchange("POST", f"/v1/queue/{number}/retry")

    def item(self, item: int) -> ItemReport:
        return self._get(f"/v1/quarantine/{item}", ItemReport, timeout_s=READ_TIMEOUT_S)

    def reread(self, item: int) -> Reread:
        answer = self._exchange("POST", f"/v1/quarantine/{item}/reread", timeout_s=READ_TIMEOUT_S)
        return self._understood(answer, Reread)

    def reread_all(self, after: int) -> RereadReport:
        answer = self._exchange("POST", f"/v1/quarantine/reread?after={after}", timeout_s=READ_TIMEOUT_S)
        return self._understood(answer, RereadReport)

    def resolve(self, item: int, how: Resolve) -> None:
        self._exchange("POST", f"/v1/quarantine/{item}/resolve", msgspec.json.encode(how))

    def export(self, after: int) -> ExportReport:
        return self._get(f"/v1/quarantine?after={after}", ExportReport)

    def find_members(self, text: str) -> tuple[Member, ...]:
        return self._get(f"/v1/members?starts={quote(text, safe='')}", FoundMembers).members

    def member(self, code: str) -> Member:
        return self._get(f"/v1/members/{quote(code, safe='')}", Member)

    def open_pairing(self, view: View = "cashier") -> Pairing:
        return self._understood(self._exchange("POST", f"/v1/pairings?view={view}"), Pairing)

    def let_go_of_revoked(self) -> None:
        """Have the agent close at once what is open by a token or cookie that was revoked."""
        self._exchange("POST", "/v1/revocations")

    def take_up_enrolment(self) -> None:
        self._exchange("POST", "/v1/enrolment")

    def lend(self, scanner: str, seconds: int) -> None:
        """Have the agent close a scanner's port for so long. Raises NotFoundError."""
        body = msgspec.json.encode(Lending(seconds=seconds))
        self._exchange("POST", f"/v1/scanners/{quote(scanner, safe='')}/lend", body, timeout_s=LEND_TIMEOUT_S)

    def give_back(self, scanner: str) -> None:
        self._exchange("DELETE", f"/v1/scanners/{quote(scanner, safe='')}/lend")

    def _get(self, path: str, kind: type[T], *, timeout_s: float = TIMEOUT_S) -> T:
        return self._understood(self._exchange("GET", path, timeout_s=timeout_s), kind)

    def _understood(self, answer: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(answer, type=kind)
        except msgspec.ValidationError as error:
            raise AgentUnreachableError(
                f"what answers at {self._place} is an agent of another version than this command ({error}), or another "
                "program: start the agent again; if that does not help, stop the other program or set another [page] "
                "port"
            ) from error
        except UNDECODABLE as error:
            raise self._is_another() from error

    def _exchange(self, method: str, path: str, body: bytes | None = None, *, timeout_s: float = TIMEOUT_S) -> bytes:
        connection = http.client.HTTPConnection(self._control.host, self._control.port, timeout=timeout_s)
        headers = {"Authorization": f"Bearer {self._control.token}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            body = answer.read(MAX_ANSWER_BYTES)
            is_json = answer.headers.get_content_type() in _JSON
        except (OSError, http.client.HTTPException) as error:
            raise AgentUnreachableError(
                f"the agent (process {self._control.pid}) does not answer ({error}): see its log, or start it again "
                "with `tillside run`"
            ) from error
        finally:
            connection.close()
        if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES and (is_json or not body):
            return body
        raise self._refused(answer.status, body)

    def _refused(self, status: int, body: bytes) -> Exception:
        """An agent says why, but where it failed itself; and it knows the token that is its own."""
        try:
            detail = msgspec.json.decode(body, type=Problem).detail or ""
        except UNDECODABLE:
            detail = ""
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return AgentUnreachableError(f"the agent answered {status}: {detail or 'see its log'}")
        if status == HTTPStatus.FORBIDDEN or not detail:
            return self._is_another()
        if status == HTTPStatus.NOT_FOUND:
            return NotFoundError(detail)
        return AgentUnreachableError(f"the agent answered {status}: {detail}")

    def _is_another(self) -> AgentUnreachableError:
        return AgentUnreachableError(
            f"another program answers at {self._place}: stop it, or set another [page] port and start the agent again"
        )

    @property
    def _place(self) -> str:
        return f"{self._control.host}:{self._control.port}"


def running_agent(settings: Settings) -> RunningAgent | None:
    """The agent of this state folder, if one runs; what a killed one left behind is nobody.

    Raises AgentUnreachableError where this user may not know.
    """
    folder = state_folder(settings)
    try:
        control = read_control(folder)
    except PermissionError as error:
        raise AgentUnreachableError(
            f"this user may not look into {folder}, so that nobody can tell whether the agent runs: use sudo, or be "
            "the agent's user"
        ) from error
    return RunningAgent(control) if control is not None and _listens(control) else None


def let_go_of_revoked(settings: Settings) -> None:
    """Has an agent that runs close at once what is open by what was revoked; it does by itself within seconds."""
    agent = running_agent(settings)
    if agent is not None:
        with suppress(AgentUnreachableError, NotFoundError):
            agent.let_go_of_revoked()


def _listens(control: Control) -> bool:
    try:
        socket.create_connection((control.host, control.port), TIMEOUT_S).close()
    except ConnectionRefusedError:
        return False
    except OSError:
        return True  # it is there and does not answer, which the question itself will say
    return True


@contextmanager
def inspection(settings: Settings) -> Iterator[Inspection]:
    """The agent if it runs, else its store for as long as the block lasts.

    Raises AgentUnreachableError, NoRegisterError, NotFoundError, StoreError and SecretError.
    """
    agent = running_agent(settings)
    if agent is not None:
        yield agent
        return
    from agent.cli.stopped import stopped_register

    with stopped_register(settings) as stopped:
        yield stopped
