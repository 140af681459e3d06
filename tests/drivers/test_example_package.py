"""The package in examples/acme-wand, installed as a shop installs one, is found and does what a driver must."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "acme-wand"

IN_ANOTHER_PROCESS = """
import asyncio, runpy, sys
from drivers.registry import SCANNERS, installed, load_scanner
from drivers.testing import check_scanner
assert "acme-wand" in installed(SCANNERS), installed(SCANNERS)
driver = load_scanner("acme-wand")
codes = runpy.run_path(sys.argv[1])["CODES"]
asyncio.run(check_scanner(driver, codes=codes))
print(driver.__module__, len(codes))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the package was installed from its source alone."""
    site = tmp_path_factory.mktemp("site")
    install = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--no-cache-dir"]
    ran(sys.executable, "-m", "pip", *install, "--disable-pip-version-check", "--target", str(site), str(EXAMPLE))
    return site


def ran(*command: str, path: Path | None = None) -> str:
    """What a command prints; it must succeed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, filter(None, [path, ROOT])))}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_is_found_by_its_name_and_conforms(site: Path) -> None:
    test_module = EXAMPLE / "tests" / "test_acme_wand.py"

    said = ran(sys.executable, "-c", IN_ANOTHER_PROCESS, str(test_module), path=site)

    assert said.endswith("\nacme_wand 3\n")


def test_a_capture_of_it_is_cut_as_it_cuts(site: Path, tmp_path: Path) -> None:
    # given what the wand sends for one code, in two reads, after noise
    capture = tmp_path / "wand.jsonl"
    started = "2026-11-22T09:00:00Z"
    header = {"tillside_capture": 1, "kind": "scanner", "driver": "acme-wand", "options": {"port": "/dev/wand"}}
    reads = [{"ms": 5, "text": "noise\x02\x06]C0"}, {"ms": 9, "text": "M-1\x7f"}]
    lines = [{**header, "started_at": started}, *reads]
    capture.write_text("\n".join(map(json.dumps, lines)) + "\n")

    said = ran(sys.executable, "-m", "agent.cli.entry", "parse-scan", "--json", "--file", str(capture), path=site)

    [scan] = json.loads(said)["scans"]
    assert (scan["ms"], scan["text"]) == (9, "M-1")


def test_its_own_tests_pass(site: Path) -> None:
    said = ran(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE), path=site)

    assert "1 passed" in said


def test_nothing_but_its_module_is_installed(site: Path) -> None:
    assert sorted(each.name for each in site.iterdir() if not each.name.startswith("__")) == [
        "acme_wand-1.0.0.dist-info",
        "acme_wand.py",
    ]
