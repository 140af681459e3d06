"""`tillside connectors`."""

from __future__ import annotations

import json

import pytest

from agent.cli.connectors import connectors_command
from agent.cli.exit_codes import DONE, USAGE
from config.connector import connector_named, connector_names


def test_all_of_them_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert connectors_command(name=None, as_json=False) == DONE

    lines = capsys.readouterr().out.splitlines()
    assert tuple(line.split()[0] for line in lines) == connector_names()


def test_one_says_what_is_known_what_is_not_and_what_is_to_be_said(capsys: pytest.CaptureFixture[str]) -> None:
    connector = connector_named("esir-files")

    assert connectors_command(name="esir-files", as_json=False) == DONE

    said = capsys.readouterr().out
    assert all(sentence in said for sentence in (*connector.verified, *connector.assumed))
    assert "[[receipts]] 'answers': folder" in said
    assert 'afterwards = "leave"' in said


def test_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert connectors_command(name="skypos", as_json=True) == DONE

    assert json.loads(capsys.readouterr().out)["settings"]["register"]["currency"] == "RSD"


def test_an_unknown_one_is_told_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert connectors_command(name="nobody", as_json=False) == USAGE

    assert "skypos" in capsys.readouterr().out
