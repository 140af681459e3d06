"""Pictures of every state, made where they are asked for: `TILLSIDE_PICTURES=docs/pictures`, a folder.

Each sheet has all states in one form, named; single pictures are the README's. Whoever changes the pages makes them
anew and looks at each. They were made with Noto Sans (Debian's fonts-noto-core); another font gives other pictures.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace
from PIL import Image, ImageDraw, ImageFont
from playwright.async_api import Browser

from agent.customer_screen import screen_of
from tests.browser.fleet import fill
from tests.browser.stage import Stage, staged
from tests.browser.states import LATE, PANELS, STATES
from tests.browser.test_fleet import opened
from tests.sync.centre import running_centre, utc_now

FOLDER = os.environ.get("TILLSIDE_PICTURES", "")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(not FOLDER, reason="TILLSIDE_PICTURES names no folder"),
]

STRIP, FULL = (320, 720), (1280, 800)
CAPTION_PX, GAP_PX, COLOURS = 26, 12, 96
# Name of the sheet: window, dark, language, scale and columns.
SHEETS = {
    "strip-light": (STRIP, False, "en", 1.0, 8),
    "strip-dark": (STRIP, True, "en", 1.0, 8),
    "strip-cyrillic": (STRIP, False, "sr-Cyrl", 1.0, 8),
    "full-light": (FULL, False, "en", 0.5, 4),
    "full-dark": (FULL, True, "en", 0.5, 4),
    "full-cyrillic": (FULL, True, "sr-Cyrl", 0.5, 4),
}
EVERY = (*STATES, *PANELS)
CUSTOMER = ("idle", "member", "reserved", "sale", "return", "unknown", "blocked", "checking")


async def taken(stage: Stage, name: str, language: str) -> Image.Image:
    before, keys = PANELS.get(name, (name, ()))
    await stage.tell(replace(LATE if before == "late" else STATES[before], language=language))
    for key in keys:
        await stage.press(key)
    picture = Image.open(io.BytesIO(await stage.page.screenshot(full_page=True, animations="disabled"))).convert("RGB")
    await stage.press("Escape")
    return picture


def sheet(pictures: Sequence[tuple[str, Image.Image]], columns: int) -> Image.Image:
    """The pictures in rows, each with its name above it."""
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    heights = [max(picture.height for _, picture in row) + CAPTION_PX + GAP_PX for row in rows]
    width = max(sum(picture.width + GAP_PX for _, picture in row) for row in rows) + GAP_PX
    whole = Image.new("RGB", (width, sum(heights) + GAP_PX), "#8d948f")
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default(16)
    top = GAP_PX
    for row, height in zip(rows, heights, strict=True):
        left = GAP_PX
        for name, picture in row:
            draw.text((left, top), name, fill="#ffffff", font=font)
            whole.paste(picture, (left, top + CAPTION_PX))
            left += picture.width + GAP_PX
        top += height
    return whole


def save(picture: Image.Image, name: str) -> None:
    folder = Path(FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(folder / f"{name}.png", optimize=True)


@pytest.mark.parametrize("name", SHEETS)
async def test_a_sheet_of_every_state(browser: Browser, name: str) -> None:
    (width, height), dark, language, scale, columns = SHEETS[name]
    stage = await staged(browser, width=width, height=height)
    await stage.page.emulate_media(color_scheme="dark" if dark else "light")

    pictures = []
    for state in EVERY:
        picture = await taken(stage, state, language)
        size = (round(picture.width * scale), round(picture.height * scale))
        pictures.append((state, picture.resize(size, Image.Resampling.LANCZOS)))

    save(sheet(pictures, columns), name)


async def test_a_sheet_of_the_customer_view(browser: Browser) -> None:
    stage = await staged(browser, width=1024, height=600, path="/customer")
    pictures = []
    for dark in (False, True):
        await stage.page.emulate_media(color_scheme="dark" if dark else "light")
        for state in CUSTOMER:
            await stage.tell(screen_of(replace(STATES[state], language="sr-Cyrl" if dark else "en")))
            shot = await stage.page.screenshot(animations="disabled")
            pictures.append((state, Image.open(io.BytesIO(shot)).convert("RGB").resize((512, 300))))

    save(sheet(pictures, 4), "customer")


async def test_the_pictures_of_the_readme(browser: Browser) -> None:
    full = await staged(browser, width=FULL[0], height=FULL[1])
    save(await taken(full, "offline", "en"), "cashier")

    strips = Image.new("RGB", (4 * (STRIP[0] + GAP_PX) - GAP_PX, STRIP[1]), "#8d948f")
    for place, (state, dark, language) in enumerate(
        [
            ("redeem", False, "en"),
            ("reserved", False, "sr-Cyrl"),
            ("sale, reward given", True, "de"),
            ("late", True, "en"),
        ]
    ):
        stage = await staged(browser, width=STRIP[0], height=STRIP[1])
        await stage.page.emulate_media(color_scheme="dark" if dark else "light")
        strips.paste((await taken(stage, state, language)).crop((0, 0, *STRIP)), (place * (STRIP[0] + GAP_PX), 0))
    save(strips, "strips")


async def test_the_picture_of_the_fleet(browser: Browser, tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        centre.write(lambda connection: fill(connection, utc_now()))
        page = await opened(browser, centre, "/fleet", width=1280)
        shot = await page.screenshot(full_page=True, animations="disabled")
    save(Image.open(io.BytesIO(shot)).convert("RGB"), "fleet")
