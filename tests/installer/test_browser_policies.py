"""The policies for browsers: each lets one origin reach this machine and nothing more, and is said where it goes."""

from __future__ import annotations

import json
import re
from pathlib import Path

from config.web_origins import origin_problem

ROOT = Path(__file__).resolve().parents[2]
POLICIES = ROOT / "installer" / "browser-policies"
PAGE = (ROOT / "docs" / "integrate.md").read_text(encoding="utf-8")
ORIGIN = "https://pos.example"
LOOPBACK = "LoopbackNetworkAllowedForUrls"
# What `reg import` reads, without what none of ours has: a first line, then keys and strings; each line ends with CRLF.
REGISTRY_FILE = re.compile(
    r"Windows Registry Editor Version 5\.00\r\n"
    r"(?:\r\n\[HKEY_LOCAL_MACHINE(?:\\[^\\\[\]\r\n]+)+\]\r\n(?:\"[^\"\\\r\n]+\"=\"[^\"\\\r\n]*\"\r\n)+)+"
)


def test_chromium_lets_one_origin_reach_this_machine_alone() -> None:
    assert json.loads((POLICIES / "chromium.json").read_bytes()) == {LOOPBACK: [ORIGIN]}
    assert origin_problem(ORIGIN) is None


def test_windows_gets_the_same_for_chrome_and_edge() -> None:
    text = (POLICIES / "chrome-edge.reg").read_bytes().decode("ascii")

    assert REGISTRY_FILE.fullmatch(text)
    tables = re.findall(r"^\[(.*)\]\r\n\"1\"=\"(.*)\"\r$", text, re.MULTILINE)
    policies = r"HKEY_LOCAL_MACHINE\SOFTWARE\Policies"
    assert tables == [
        (rf"{policies}\{browser}\{LOOPBACK}", ORIGIN) for browser in (r"Google\Chrome", r"Microsoft\Edge")
    ]


def test_firefox_goes_on_asking_for_every_other_domain() -> None:
    told = json.loads((POLICIES / "firefox.json").read_bytes())

    domain = ORIGIN.removeprefix("https://")
    assert told == {"policies": {"LocalNetworkAccess": {"Enabled": True, "SkipDomains": [domain]}}}


def test_each_file_is_said_where_it_goes_and_packed_where_it_can_be_used() -> None:
    package = (ROOT / "installer" / "package" / "nfpm.yaml").read_text(encoding="utf-8")

    for file in POLICIES.iterdir():
        assert f"| `{file.name}`" in PAGE, file.name
        assert (f"${{POLICIES}}/{file.name}" in package) == (file.suffix == ".json")
