"""Plurals, numbers and dates as the browser writes them, beside Babel's."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from babel import Locale
from babel.dates import format_skeleton
from babel.numbers import format_decimal
from playwright.async_api import Browser

from tests.browser.stage import LOCALES, staged

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

NUMBERS = (0, 1, 2, 3, 5, 11, 12, 21, 22, 25, 100, 101, 102, 103, 111, 999, 1000, 1001, 12480, 1234567)
# The day before the page's.
MOMENT = datetime(2026, 11, 21, 9, 7, tzinfo=UTC)
ASKED = """async ([language, numbers, time]) => {
  const words = await (await import("/page/words.js")).wordsOf(language);
  return [numbers.map((n) => words.form(n)), numbers.map((n) => words.number(n)), words.date(time),
    words.money(-1234567, 2, "EUR"), words.money(120, 0, "JPY"), words.clock(time)];
}"""


@pytest.mark.parametrize("language", LOCALES)
async def test_the_page_writes_as_babel_does(browser: Browser, language: str) -> None:
    stage = await staged(browser)
    locale = Locale.parse(LOCALES[language], sep="-")

    plurals, numbers, date, money, yen, clock = await stage.page.evaluate(
        ASKED, [language, NUMBERS, MOMENT.isoformat()]
    )

    assert plurals == [locale.plural_form(number) for number in NUMBERS]
    assert numbers == [format_decimal(number, locale=locale) for number in NUMBERS]
    assert date == format_skeleton("MMMd", MOMENT, locale=locale)
    assert money == f"{format_decimal('12345.67', '#,##0.00', locale=locale)}\u00a0EUR"
    assert yen == "120\u00a0JPY"
    assert clock == f"{date} 10:07"
