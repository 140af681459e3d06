"""What a customer who joins at the till is asked, and which words the answer is kept with."""

from __future__ import annotations

import pytest
import pytest_asyncio
from msgspec.structs import replace
from playwright.async_api import Browser, expect

from loyalty.consent_texts import ConsentTexts
from tests.browser.stage import Stage, staged
from tests.browser.states import STATES

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session")
async def stage(browser: Browser) -> Stage:
    return await staged(browser)


async def test_a_customer_is_asked_in_the_chains_own_words_where_it_has_some(stage: Stage) -> None:
    stage.answers["/v1/customer/join"] = (201, {"member": "p-1", "entries": 1})
    own = ConsentTexts(version="2026-12", texts={"sms": {"en": "Jutro may write to me."}})
    await stage.tell(replace(STATES["unknown"], consents=own))
    await stage.press("n")
    await stage.page.get_by_label("Jutro may write to me.").check()
    await stage.page.locator("#phone").fill("1234567")
    await stage.confirm()

    consent = {"channel": "sms", "state": "granted", "text_version": "2026-12-en"}
    [(_, _, given)] = stage.asked
    assert given == {"turn": 8, "phone": "1234567", "consents": [consent]}
    # in a language that it has none in, by those of the page
    await stage.tell(replace(STATES["unknown"], consents=own, language="de"))
    await stage.press("n")
    await expect(stage.page.get_by_label("SMS")).to_be_visible()


async def test_a_customer_agrees_to_the_words_that_were_shown_not_to_those_that_came_since(stage: Stage) -> None:
    stage.answers["/v1/customer/join"] = (201, {"member": "p-1", "entries": 1})
    shown = ConsentTexts(version="2026-12", texts={"sms": {"en": "Jutro may write to me."}})
    since = ConsentTexts(version="2027-01", texts={"sms": {"en": "Jutro may write and call."}})
    await stage.tell(replace(STATES["unknown"], consents=shown))
    await stage.press("n")
    await stage.page.get_by_label("Jutro may write to me.").check()

    # when the centre's next ones come in force before Enter
    await stage.tell(replace(STATES["unknown"], consents=since))
    await expect(stage.page.get_by_label("Jutro may write to me.")).to_be_checked()
    await stage.page.locator("#phone").fill("1234567")
    await stage.confirm()

    [(_, _, given)] = stage.asked
    consent = {"channel": "sms", "state": "granted", "text_version": "2026-12-en"}
    assert given == {"turn": 8, "phone": "1234567", "consents": [consent]}


async def test_a_customer_is_asked_for_each_channel_and_for_the_address_that_it_takes(stage: Stage) -> None:
    stage.answers["/v1/customer/join"] = (201, {"member": "p-1", "entries": 1})
    own = ConsentTexts(
        version="2026-12",
        texts={
            "sms": {"en": "By SMS?"},
            "email": {"en": "By e-mail?"},
            "post": {"en": "By post?"},
            "fax": {"de": "Fax?"},
        },
    )
    await stage.tell(replace(STATES["unknown"], consents=own))
    await stage.press("n")
    for question in ("By e-mail?", "By post?"):
        await stage.page.get_by_label(question).check()
    await expect(stage.page.locator("#desk input[type=checkbox]")).to_have_count(3)

    # without the address nothing is asked of the register, and the page says what is missing
    await stage.page.locator("#phone").fill("1234567")
    await stage.confirm()
    assert stage.asked == []
    await expect(stage.page.locator("#said")).to_contain_text("their e-mail address is needed")
    await expect(stage.page.locator("#email")).to_be_focused()

    await stage.page.keyboard.type("iva@example.com", delay=70)
    await stage.confirm()
    [(_, _, given)] = stage.asked
    agreed = [{"channel": name, "state": "granted", "text_version": "2026-12-en"} for name in ("email", "post")]
    assert given == {"turn": 8, "phone": "1234567", "email": "iva@example.com", "consents": agreed}
