"""What a keyboard scanner types into the cashier page: one scan, whatever has the focus; never typed, no command."""

from __future__ import annotations

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.browser.stage import Stage, staged
from tests.browser.states import IDLE, STATES
from tests.browser.test_keys import SCANNED, SCANS, scan

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session")
async def stage(browser: Browser) -> Stage:
    stage = await staged(browser)
    stage.answers["/v1/scans"] = (200, {"heard": "member"})
    return stage


# With modifiers, each pressed as a key of its own first, as a scanner sends them.
CHORDS = """(chords) => {
  const target = document.activeElement ?? document.body;
  const press = (key, code, held = {}) => target.dispatchEvent(
    new KeyboardEvent("keydown", { key, code, ...held, bubbles: true, cancelable: true }));
  const ctrlKey = true, altKey = true, modifierAltGraph = true;
  const HELD = { Ctrl: { ctrlKey }, Alt: { altKey }, AltGr: { ctrlKey, altKey, modifierAltGraph } };
  const NAMES = { Ctrl: ["Control"], Alt: ["Alt"], AltGr: ["Control", "AltGraph"] };
  const CODES = { "]": "BracketRight", "@": "KeyQ", " ": "Space", Enter: "Enter", Tab: "Tab" };
  for (const chord of chords) {
    const [key, modifier] = chord.split("+").reverse();
    for (const name of NAMES[modifier] ?? []) press(name, name, name === "Control" ? HELD.Ctrl : HELD[modifier]);
    press(key, CODES[key] ?? (/[0-9]/.test(key) ? `Digit${key}` : `Key${key.toUpperCase()}`), HELD[modifier]);
  }
}"""

# A scanner set to a US keyboard on a French system, whose row of digits gives signs.
FRENCH = """() => {
  const keys = [["T", "KeyT", true], ["S", "KeyS", true], ["&", "Digit1"], ["à", "Digit0"], ["à", "Digit0"],
    ["&", "Digit1"], ["Enter", "Enter"]];
  for (const [key, code, shiftKey] of keys) {
    const event = new KeyboardEvent("keydown", { key, code, shiftKey, bubbles: true, cancelable: true });
    document.body.dispatchEvent(event);
  }
}"""

# The same on a German one: `D` stands for the dead key.
GERMAN = """(typed) => {
  const target = document.activeElement ?? document.body;
  const CODES = { _: ["Slash", true], D: ["Equal", false], 1: ["Digit1", false] };
  const press = (key, code, shiftKey) => target.dispatchEvent(
    new KeyboardEvent("keydown", { key, code, shiftKey, bubbles: true, cancelable: true }));
  for (const key of typed) {
    press(key === "D" ? "Dead" : key, ...(CODES[key] ?? [`Key${key.toUpperCase()}`, key !== key.toLowerCase()]));
  }
  press("Enter", "Enter", false);
}"""
# Whether the browser has an accent that nothing came before.
ACCENT = """() => document.activeElement.dispatchEvent(
  new KeyboardEvent("keydown", { key: "Dead", code: "Equal", bubbles: true, cancelable: true }))"""


async def test_a_scan_is_never_typed_into_a_field_nor_taken_for_a_command(stage: Stage) -> None:
    await stage.tell(STATES["unknown"])
    await stage.press("n")
    await stage.page.keyboard.type("Iva", delay=70)
    await stage.settle()

    await scan(stage)
    await scan(stage, end="Tab")
    await scan(stage, end="")

    assert await stage.page.locator("#short_name").input_value() == "Iva"
    assert stage.asked == [SCANS] * 3
    # and on every screen
    for key in ("Escape", "f", "Escape", "m"):
        await stage.press(key)
        await scan(stage)
    assert stage.asked == [SCANS] * 7


async def test_who_is_scanned_while_somebody_types_is_served(stage: Stage) -> None:
    await stage.tell(STATES["unknown"])
    await stage.press("n")
    await stage.page.keyboard.type("I", delay=70)
    await stage.tell(STATES["member"])

    await expect(stage.page.locator("#name")).to_have_text("Ana P.")
    await expect(stage.page.locator("#desk h2")).to_have_text("Rewards now")


async def test_five_scans_in_a_second_are_taken_one_after_the_other(stage: Stage) -> None:
    await stage.tell(IDLE)
    codes = [f"TS00000000{number}" for number in range(5)]
    for code in codes:
        await stage.page.evaluate(SCANNED, [code, "Enter"])
    await stage.settle()

    assert [asked[2] for asked in stage.asked] == [{"texts": [code]} for code in codes]


async def test_a_scanner_on_another_layout_is_read_by_its_keys(stage: Stage) -> None:
    await stage.tell(IDLE)
    await stage.page.evaluate(FRENCH)
    await stage.settle()

    assert stage.asked == [("POST", "/v1/scans", {"texts": ["TS&àà&", "TS1001"]})]


async def test_a_dead_key_of_another_layout_belongs_to_its_scan(stage: Stage) -> None:
    # given a scanner set to a US keyboard on a German system, where `=` is an accent that waits for its letter
    await stage.tell(IDLE)
    await stage.page.evaluate(GERMAN, "h_mDTS1")
    await stage.settle()

    assert stage.asked == [("POST", "/v1/scans", {"texts": ["h_mTS1", "h?m=TS1"]})]
    # and in a field, where a person's is theirs
    await stage.tell(STATES["unknown"])
    await stage.press("n")
    await stage.page.evaluate(GERMAN, "h_mDTS1")
    await stage.settle()
    assert len(stage.asked) == 2
    await expect(stage.page.locator("#short_name")).to_have_value("")
    assert await stage.page.evaluate(ACCENT) is True


async def test_a_scan_with_a_separator_is_one_scan_and_never_typed(stage: Stage) -> None:
    await stage.tell(STATES["unknown"])
    await stage.press("n")

    # a GS, which a scanner types as Ctrl+]
    await stage.page.evaluate(CHORDS, [*"010950", "Ctrl+]", *"211234567", "Enter"])
    await stage.settle()
    assert stage.asked == [("POST", "/v1/scans", {"texts": ["010950\x1d211234567"]})]
    # also in what is too short for a scan otherwise, with nothing at its end
    await stage.page.evaluate(CHORDS, [*"21", "Ctrl+]"])
    await stage.settle()
    assert stage.asked[1:] == [("POST", "/v1/scans", {"texts": ["21\x1d"]})]
    await expect(stage.page.locator("#short_name")).to_have_value("")


async def test_a_character_of_the_third_level_belongs_to_its_scan(stage: Stage) -> None:
    await stage.tell(STATES["unknown"])
    await stage.press("n")

    await stage.page.evaluate(CHORDS, [*"1234", "AltGr+@", *"5678", "Enter"])
    await stage.settle()

    [(_, path, given)] = stage.asked
    assert path == "/v1/scans"
    assert isinstance(given, dict)
    assert given["texts"][0] == "1234@5678"
    await expect(stage.page.locator("#short_name")).to_have_value("")


async def test_a_function_key_inside_a_scan_is_the_separator_or_nothing(stage: Stage) -> None:
    await stage.tell(STATES["unknown"])
    await stage.press("n")

    for keys in ([*"1234", "F8", *"5678", "Enter"], [*"1234", "F3", *"5678", "F5", "Enter"]):
        await stage.page.evaluate(CHORDS, keys)
        await stage.settle()

    assert [given["texts"] for _, _, given in stage.asked if isinstance(given, dict)] == [
        ["1234\x1d5678"],
        ["12345678"],
    ]
    await expect(stage.page.locator("#short_name")).to_have_value("")


@pytest.mark.parametrize("end", [["Enter"], ["Tab"], []])
@pytest.mark.parametrize("chord", ["Ctrl+m", "Alt+0"])
async def test_a_scan_with_any_other_shortcut_in_it_is_dropped_whole(stage: Stage, chord: str, end: list[str]) -> None:
    await stage.tell(STATES["unknown"])
    await stage.press("n")

    await stage.page.evaluate(CHORDS, [*"010950", chord, *"2112 34567", *end])
    await stage.settle()
    assert stage.asked == []
    await expect(stage.page.locator("#short_name")).to_have_value("")

    # and the next one is taken
    await scan(stage)
    assert stage.asked == [SCANS]
