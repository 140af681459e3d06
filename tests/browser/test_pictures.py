"""Pictures of every state, and whether all of it can be read there.

Each sheet has many states in one form, named; single pictures are the README's. `make pictures` makes all of them in
docs/pictures, which TILLSIDE_PICTURES names; without it each state is pictured once, in one form or another. Whoever
changes the pages makes them anew and looks at each. They were made with Noto Sans (Debian's fonts-noto-core); another
font gives other pictures.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec import Struct
from msgspec.structs import replace
from PIL import Image, ImageDraw, ImageFont
from playwright.async_api import Browser

from agent.customer_screen import screen_of
from tests.browser.fleet import fill
from tests.browser.measures import CLIPPED, CUT_OFF
from tests.browser.scenes import GROUPS, SCENES, leave, play
from tests.browser.stage import Stage, staged
from tests.browser.states import STATES
from tests.browser.test_fleet import opened
from tests.sync.centre import running_centre, utc_now

FOLDER = os.environ.get("TILLSIDE_PICTURES", "")

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

STRIP, FULL = (320, 720), (1280, 800)
CAPTION_PX, GAP_PX, COLOURS = 26, 12, 256
GROUND = "#8d948f"


class Form(Struct, frozen=True, kw_only=True):
    """A window, and how its pictures are put on a sheet."""

    window: tuple[int, int] = STRIP
    dark: bool = False
    language: str = "en"
    scale: float = 1.0
    columns: int = 8


FORMS = {
    "strip-light": Form(),
    "strip-dark": Form(dark=True),
    "strip-cyrillic": Form(language="sr-Cyrl"),
    "full-light": Form(window=FULL, scale=0.5, columns=4),
    "full-dark": Form(window=FULL, scale=0.5, columns=4, dark=True),
    "full-cyrillic": Form(window=FULL, scale=0.5, columns=4, dark=True, language="sr-Cyrl"),
}
CUSTOMER = ("idle", "member", "reserved", "sale", "return", "unknown", "blocked", "checking", "invited")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the pictures go."""
    folder = Path(FOLDER) if FOLDER else tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def pictured(form: str) -> set[str]:
    """The scenes that are pictured in this form: all, or each in one form only."""
    if FOLDER:
        return set(SCENES)
    forms = list(FORMS)
    return {name for place, name in enumerate(SCENES) if forms[place % len(forms)] == form}


async def formed(browser: Browser, form: Form) -> Stage:
    stage = await staged(browser, width=form.window[0], height=form.window[1])
    await stage.page.emulate_media(color_scheme="dark" if form.dark else "light")
    return stage


async def taken(stage: Stage, name: str, language: str) -> Image.Image:
    await play(stage, SCENES[name], language)
    shot = await stage.page.screenshot(full_page=True, animations="disabled")
    for measure in (CUT_OFF, CLIPPED):
        assert await stage.page.evaluate(measure) == [], name
    await leave(stage, SCENES[name])
    return Image.open(io.BytesIO(shot)).convert("RGB")


def sheet(pictures: Sequence[tuple[str, Image.Image]], columns: int) -> Image.Image:
    """The pictures in rows, each with its name above it."""
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    heights = [max(picture.height for _, picture in row) + CAPTION_PX + GAP_PX for row in rows]
    width = max(sum(picture.width + GAP_PX for _, picture in row) for row in rows) + GAP_PX
    whole = Image.new("RGB", (width, sum(heights) + GAP_PX), GROUND)
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


def save(picture: Image.Image, folder: Path, name: str) -> None:
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(folder / f"{name}.png", optimize=True)


@pytest.mark.parametrize("name", FORMS)
async def test_every_state_is_pictured_and_nothing_in_it_is_cut_off(browser: Browser, folder: Path, name: str) -> None:
    form, wanted = FORMS[name], pictured(name)
    stage = await formed(browser, form)
    for group, scenes in GROUPS.items():
        pictures = []
        for scene in scenes:
            if scene in wanted:
                picture = await taken(stage, scene, form.language)
                size = (round(picture.width * form.scale), round(picture.height * form.scale))
                pictures.append((scene, picture.resize(size, Image.Resampling.LANCZOS)))

        save(sheet(pictures, form.columns), folder, f"{name}-{group}")


async def test_the_customer_view_is_pictured(browser: Browser, folder: Path) -> None:
    stage = await staged(browser, width=1024, height=600, path="/customer")
    pictures = []
    for dark in (False, True):
        await stage.page.emulate_media(color_scheme="dark" if dark else "light")
        for state in (*CUSTOMER, "silent"):
            shown = STATES["member" if state == "silent" else state]
            await stage.tell(screen_of(replace(shown, language="sr-Cyrl" if dark else "en")))
            if state == "silent":
                await stage.fall_silent()
            shot = await stage.page.screenshot(animations="disabled")
            for measure in (CUT_OFF, CLIPPED):
                assert await stage.page.evaluate(measure) == [], state
            # nobody can scroll there
            assert await stage.page.evaluate("document.documentElement.scrollHeight <= innerHeight"), (state, dark)
            pictures.append((state, Image.open(io.BytesIO(shot)).convert("RGB").resize((512, 300))))
        await stage.reopened()

    save(sheet(pictures, 5), folder, "customer")


async def test_the_pictures_of_the_readme(browser: Browser, folder: Path) -> None:
    full = await formed(browser, Form(window=FULL))
    save(await taken(full, "offline", "en"), folder, "cashier")

    strips = Image.new("RGB", (4 * (STRIP[0] + GAP_PX) - GAP_PX, STRIP[1]), GROUND)
    for place, (scene, form) in enumerate(
        [
            ("redeem", Form()),
            ("reserved", Form(language="sr-Cyrl")),
            ("sale, reward given", Form(dark=True, language="de")),
            ("late", Form(dark=True)),
        ]
    ):
        stage = await formed(browser, form)
        picture = await taken(stage, scene, form.language)
        strips.paste(picture.crop((0, 0, *STRIP)), (place * (STRIP[0] + GAP_PX), 0))
    save(strips, folder, "strips")


async def test_the_fleet_is_pictured(browser: Browser, folder: Path, tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        centre.write(lambda connection: fill(connection, utc_now()))
        page = await opened(browser, centre, "/fleet", width=1280)
        shot = await page.screenshot(full_page=True, animations="disabled")
        assert await page.evaluate(CUT_OFF) == []
    save(Image.open(io.BytesIO(shot)).convert("RGB"), folder, "fleet")
