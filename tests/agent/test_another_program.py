"""Commands where another program has the port of the page, or an agent of another version: said, never a traceback."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import pytest

from agent.cli.doctor import doctor_command
from agent.cli.queue import Asked, queue_command
from agent.cli.settings import config_show_command
from agent.cli.status import status_command
from agent.cli.support_bundle import support_bundle_command
from agent.control import Control, write_control

Command = Callable[[str], int]


class Answer(NamedTuple):
    """What it answers to everything, and what is said of that."""

    status: int
    kind: str
    body: bytes
    said: str


HTML = ("text/html", b"<h1>It works</h1>")
JSON = "application/json"


@contextmanager
def answering(answer: Answer) -> Iterator[int]:
    """A program that gives everybody the same answer, and its port."""
    status, kind, body, _ = answer

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_said: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def left_behind(folder: Path, port: int) -> str:
    """The settings of a register whose agent was killed, so that `control.json` leads to whoever has its port now."""
    (folder / "state").mkdir()
    write_control(folder / "state", Control(host="127.0.0.1", port=port, token="t", pid=os.getpid()))
    file = folder / "tillside.toml"
    file.write_text('[paths]\nstate = "state"\n', encoding="utf-8")
    return str(file)


OTHER_SHAPE = Answer(200, JSON, b'{"ok":true}', "agent of another version")
FOREIGN = [
    pytest.param(Answer(200, *HTML, "another program answers"), id="a page"),
    pytest.param(Answer(302, *HTML, "another program answers"), id="elsewhere"),
    pytest.param(Answer(404, *HTML, "another program answers"), id="not found"),
    pytest.param(Answer(404, JSON, b'{"detail":"Not Found"}', "another program answers"), id="not found in JSON"),
    pytest.param(Answer(401, "text/plain", b"who are you", "another program answers"), id="unauthorized"),
    pytest.param(Answer(500, *HTML, "the agent answered 500"), id="failed"),
]
ANSWERS = [
    *FOREIGN,
    pytest.param(OTHER_SHAPE, id="another shape"),
    pytest.param(Answer(200, JSON, b"\xff\xfe", "another program answers"), id="no JSON"),
]


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize(
    "command",
    [
        lambda config: status_command(config=config, as_json=False),
        lambda config: queue_command(Asked(action="list"), config),
    ],
    ids=["status", "queue"],
)
def test_a_command_says_who_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: Command, answer: Answer
) -> None:
    with answering(answer) as port:
        assert command(left_behind(tmp_path, port)) == 1
    assert answer.said in capsys.readouterr().err


@pytest.mark.parametrize("answer", FOREIGN)
def test_what_another_program_was_asked_for_is_not_called_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: Answer
) -> None:
    with answering(answer) as port:
        assert queue_command(Asked(action="retry", ident="e1"), left_behind(tmp_path, port)) == 1
    assert answer.said in capsys.readouterr().err


@pytest.mark.parametrize("answer", ANSWERS)
def test_the_doctor_goes_on_to_all_else(tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: Answer) -> None:
    with answering(answer) as port:
        done = doctor_command(
            test_sheet=None, scan_test=False, scanner=None, config=left_behind(tmp_path, port), as_json=True
        )
    report = json.loads(capsys.readouterr().out)
    agent = next(check for check in report["checks"] if check["area"] == "agent")
    assert (done, agent["verdict"]) == (3, "problem")
    assert answer.said in agent["said"]
    assert {"enrolment", "disk", "keys"} <= {check["area"] for check in report["checks"]}


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_support_bundle_says_why_it_is_without_the_agents_word(tmp_path: Path, answer: Answer) -> None:
    out = tmp_path / "bundle.zip"
    with answering(answer) as port:
        config = left_behind(tmp_path, port)
        assert support_bundle_command(out=str(out), config=config, as_json=True, log=list) == 0
    with zipfile.ZipFile(out) as archive:
        about = json.loads(archive.read("about.json"))
        assert "doctor.json" in archive.namelist()
    assert answer.said in about["not_there"]["status.json"]
    assert answer.said in about["not_there"]["queue.json"]


def test_what_is_left_of_a_torn_control_file_is_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = left_behind(tmp_path, 9)
    (tmp_path / "state" / "control.json").write_bytes(b'{"host":"\xff\xfe"}')

    assert status_command(config=config, as_json=False) == 3
    assert "there is no register" in capsys.readouterr().err


def test_a_look_that_fails_itself_is_no_reason_for_no_bundle(tmp_path: Path) -> None:
    def failing() -> list[str]:
        raise RuntimeError("the journal is upside down")

    out, config = tmp_path / "bundle.zip", tmp_path / "tillside.toml"
    config.write_text('[paths]\nstate = "state"\n', encoding="utf-8")
    assert support_bundle_command(out=str(out), config=str(config), as_json=True, log=failing) == 0
    with zipfile.ZipFile(out) as archive:
        about = json.loads(archive.read("about.json"))
    assert "upside down" in about["not_there"]["log.jsonl"]


def test_the_settings_in_force_are_shown_all_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(Answer(404, *HTML, "")) as port:
        assert config_show_command(config=left_behind(tmp_path, port), as_json=True) == 0
    assert "values" in json.loads(capsys.readouterr().out)
