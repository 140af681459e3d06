"""What a cashier does with keyboard and scanner alone, and what the register is asked for it."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
import pytest_asyncio
from msgspec.structs import replace
from playwright.async_api import Browser, expect

from agent.customer_screen import screen_of
from agent.view import CustomerView, MemberView
from loyalty.member import ContextLine
from tests.browser.scenes import PANELS, leave, play
from tests.browser.stage import Stage, staged
from tests.browser.states import AFTER, ANA, IDLE, KNOWN, LATE, NOW, STATES

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

CARD = "TS000000077"
SCANS = ("POST", "/v1/scans", {"texts": [CARD]})
OTHER = replace(IDLE, customer=CustomerView(standing="unknown", ending="9999", turn=9))


@pytest_asyncio.fixture(loop_scope="session")
async def stage(browser: Browser) -> Stage:
    stage = await staged(browser)
    stage.answers["/v1/scans"] = (200, {"heard": "member"})
    return stage


async def scan(stage: Stage, code: str = CARD, *, end: str = "Enter") -> None:
    """As a keyboard scanner types: without a pause."""
    await stage.page.evaluate(SCANNED, [code, end])
    await stage.settle()


# Each with its place on a US keyboard, as a scanner sends it; events in one go, as fast as any scanner.
SCANNED = """([code, end]) => {
  const target = document.activeElement ?? document.body;
  const press = (key, code, shiftKey = false) => target.dispatchEvent(
    new KeyboardEvent("keydown", { key, code, shiftKey, bubbles: true, cancelable: true }));
  for (const key of code) {
    if (/[0-9]/.test(key)) press(key, `Digit${key}`);
    else press(key, `Key${key.toUpperCase()}`, key !== key.toLowerCase());
  }
  if (end) press(end, end);
}"""


async def test_a_reward_is_redeemed_by_its_key_and_enter(stage: Stage) -> None:
    stage.answers["/v1/customer/rewards"] = (201, {"reward": "r12"})
    await stage.tell(STATES["member"])

    await stage.press("2")
    await expect(stage.page.locator("#desk h2")).to_have_text("12 € off")
    assert stage.asked == []
    await stage.confirm()

    assert stage.asked == [("POST", "/v1/customer/rewards", {"turn": 7, "reward": "r12", "times": 1})]
    await expect(stage.page.locator("#desk h2")).to_have_text("Rewards now")


async def test_what_is_asked_again_since_nothing_was_answered_is_done_once(stage: Stage) -> None:
    # given a register that does not answer
    stage.answers["/v1/customer/rewards"] = None
    await stage.tell(STATES["member"])
    await stage.press("1")
    await stage.confirm()
    await expect(stage.page.locator("#said")).to_have_text("No answer yet: try again. The sale can go on.")

    # when the cashier tries again, for another number meanwhile, and once more
    await stage.confirm()
    await stage.press("2")
    await stage.confirm()
    stage.answers["/v1/customer/rewards"] = (201, {"reward": "r5"})
    await stage.press("1")
    await stage.confirm()

    # then each is one call, however often it is sent
    await expect(stage.page.locator("#desk h2")).to_have_text("Rewards now")
    one, again, other, last = stage.keys
    assert one == again == last != other
    # and what was answered is another one the next time
    await stage.press("1")
    await stage.confirm()
    assert stage.keys[4] not in stage.keys[:4]


async def test_what_was_said_of_one_customer_is_gone_with_the_next(stage: Stage) -> None:
    # given somebody who was removed
    await stage.tell(STATES["member"])
    await stage.press("Delete")
    await stage.confirm()
    await stage.tell(IDLE)
    await expect(stage.page.locator("#said")).to_have_text("Removed. Scan again to bring them back.")

    # when the register's own scanner reads another card
    await stage.tell(OTHER)

    await expect(stage.page.locator("#said")).to_be_empty()


async def test_that_points_need_the_centre_is_said_where_a_reward_does(stage: Stage) -> None:
    some = replace(ANA, unsafe_because="not_granted", safe_offline=0)
    said = stage.page.get_by_text("0 points can be spent without the centre.")
    await stage.tell(replace(IDLE, customer=replace(KNOWN, member=some)))
    await expect(said).to_be_visible()

    # those that go by the balance, and full cards, need no points that were set aside
    free = tuple(one for one in ANA.rewards if one.safe)
    await stage.tell(replace(IDLE, customer=replace(KNOWN, member=replace(some, rewards=free))))
    await expect(said).to_have_count(0)


async def test_a_reward_is_had_several_times_at_once_as_far_as_it_can_be(stage: Stage) -> None:
    stage.answers["/v1/customer/rewards"] = (201, {"reward": "r5"})
    await stage.tell(STATES["member"])
    await stage.press("1")
    await expect(stage.page.locator("#desk .times button")).to_have_count(3)
    await stage.read()
    await stage.press("3")
    await expect(stage.page.locator("#desk .amount")).to_have_text("15.00\u00a0EUR")
    await expect(stage.page.locator("#desk p").last).to_have_text("off this sale, for 1,500 points.")
    await stage.confirm()

    assert stage.asked == [("POST", "/v1/customer/rewards", {"turn": 7, "reward": "r5", "times": 3})]
    await stage.tell(STATES["reserved, three"])
    await expect(stage.page.locator(".reserved .amount")).to_have_text("20.00\u00a0EUR")
    await expect(stage.page.locator(".reserved p").nth(2)).to_have_text("4 × 5 € off")
    # one that a voucher or a full card brings comes once
    await stage.tell(STATES["member, full card"])
    await expect(stage.page.locator("#desk .cost").first).to_have_text("Full card")
    await stage.press("1")
    await expect(stage.page.locator("#desk p").last).to_have_text("Full card")
    await expect(stage.page.locator("#desk .times")).to_have_count(0)


@pytest.mark.parametrize(
    ("state", "told"), [("member, no rewards", "460 points to 5 € off"), ("member, no full card", "1 stamp to 5 € off")]
)
async def test_who_can_have_no_reward_yet_is_told_how_far_it_is(stage: Stage, state: str, told: str) -> None:
    await stage.tell(STATES[state])

    await expect(stage.page.locator("#desk p")).to_have_text(told)


@pytest.mark.parametrize(("key", "reward", "shown"), [("4", "coffee", "one piece free"), ("5", "tenth", "10%")])
async def test_a_reward_that_hangs_on_the_goods_is_redeemed_as_any_other(
    stage: Stage, key: str, reward: str, shown: str
) -> None:
    stage.answers["/v1/customer/rewards"] = (201, {"reward": reward})
    await stage.tell(STATES["member"])

    await stage.press(key)
    await expect(stage.page.locator("#desk .amount")).to_have_text(shown)
    await stage.confirm()

    assert stage.asked == [("POST", "/v1/customer/rewards", {"turn": 7, "reward": reward, "times": 1})]


async def test_what_is_reserved_says_all_that_is_to_be_keyed(stage: Stage) -> None:
    await stage.tell(STATES["reserved, of the goods"])

    await expect(stage.page.locator(".reserved .amount")).to_have_text(["5.00\u00a0EUR", "10%"])


async def test_a_voucher_is_typed_and_taken_or_its_refusal_said(stage: Stage) -> None:
    stage.answers["/v1/customer"] = (409, {"reason": "no_voucher"})
    await stage.tell(STATES["member, voucher of their own"])
    said = "No such voucher: see whether it is whole, or scan it again."
    await expect(stage.page.locator("#notice")).to_have_text(said)
    await expect(stage.page.locator("#desk .choices .cost").first).to_have_text("Voucher")

    await stage.press("f")
    await stage.page.keyboard.type("vk7q-2f9m-xrt4", delay=70)
    await stage.settle()
    await stage.press("Enter")

    assert stage.asked == [("POST", "/v1/customer", {"typed": "vk7q-2f9m-xrt4", "turn": 7})]
    await expect(stage.page.locator("#said")).to_contain_text("No such voucher")


async def test_escape_goes_back_to_the_sale_from_every_panel(stage: Stage) -> None:
    desk = stage.page.locator("#desk")
    for name, scene in PANELS.items():
        await play(stage, scene)
        await expect(desk).not_to_have_attribute("data-panel", "home")
        asked = [*stage.asked]

        await stage.press("Escape")

        await expect(desk, name).to_have_attribute("data-panel", "home")
        assert await stage.page.evaluate("document.activeElement === document.body"), name
        assert stage.asked == asked, name
        await leave(stage, scene)


async def test_what_is_reserved_is_given_back_before_the_customer_is_removed(stage: Stage) -> None:
    await stage.tell(STATES["reserved"])
    await expect(stage.page.locator(".reserved .amount")).to_have_text("5.00\u00a0EUR")
    await stage.press("Delete")
    await stage.confirm()
    await stage.tell(STATES["member"])
    await stage.press("Delete")
    await expect(stage.page.locator("#desk .amount")).to_have_text("Ana P.")
    await stage.confirm()

    assert stage.asked == [("DELETE", "/v1/customer/rewards", {"turn": 7}), ("DELETE", "/v1/customer", {"turn": 7})]
    await expect(stage.page.locator("#said")).to_have_text("Removed. Scan again to bring them back.")


async def test_what_a_pos_reserved_is_told_and_is_the_poss_alone_to_give_back(stage: Stage, browser: Browser) -> None:
    customers = await staged(browser, path="/customer")
    cards = stage.page.locator("#desk .reserved")
    for state in (STATES["member"], STATES["reserved at a POS"]):
        await stage.tell(state)
        await customers.tell(screen_of(state))

    # then the points are fewer for that, and not by the centre's word
    await expect(cards).to_have_text(re.compile("^Already in the POS:5.00.EUR · 5 € off$"))
    for page in (stage.page, customers.page):
        await expect(page.locator("#fewer")).to_be_empty()
    await expect(customers.page.locator("#reserved li")).to_have_text("5 € off: −5.00\u00a0EUR")

    # beside what was reserved here, which alone is given back here
    await stage.tell(STATES["reserved here and at a POS"])
    await expect(cards).to_have_count(2)
    await expect(stage.page.locator("#desk .reserved [aria-keyshortcuts=Delete]")).to_have_count(1)
    await stage.press("Delete")
    await expect(stage.page.locator("#desk .amount")).to_have_text(["10%"])
    await stage.confirm()
    assert stage.asked == [("DELETE", "/v1/customer/rewards", {"turn": 7})]


async def test_whose_sale_is_over_is_taken_from_sight_and_nobody_else(stage: Stage) -> None:
    await stage.tell(STATES["sale"])

    await stage.press("Delete")

    assert stage.asked == [("DELETE", "/v1/customer", {"turn": None})]


async def test_a_day_of_another_year_has_its_year(stage: Stage) -> None:
    member = replace(ANA, as_of=NOW - timedelta(days=370))
    await stage.tell(replace(IDLE, customer=replace(KNOWN, member=member)))
    await expect(stage.page.locator("#as-of")).to_have_text(re.compile(r"\b\d+ \w+ 2025,? \d\d:\d\d$"))

    # and one of this year has not
    member = replace(ANA, as_of=NOW - timedelta(days=3))
    await stage.tell(replace(IDLE, customer=replace(KNOWN, member=member)))
    await expect(stage.page.locator("#as-of")).not_to_contain_text("2026")


async def test_a_late_customer_is_scanned_and_given_a_receipt_by_key(stage: Stage) -> None:
    await stage.tell(replace(LATE, customer=None))
    await stage.press("l")
    await expect(stage.page.locator("#desk p").first).to_have_text(
        "Scan the customer’s card now, then choose the receipt."
    )
    assert await stage.page.locator("#desk .choices button").count() == 0

    await scan(stage)
    await stage.tell(LATE)
    await stage.read()
    await stage.press("2")
    await stage.confirm()

    assert stage.asked == [SCANS, ("POST", "/v1/receipts/k1/member", {"turn": 7})]


async def test_goods_belong_into_the_pos(stage: Stage) -> None:
    stage.answers["/v1/scans"] = (200, {"heard": "goods"})
    await stage.tell(IDLE)
    await scan(stage, "4006381333931")

    await expect(stage.page.locator("#said")).to_have_text("Those are goods: click into the POS and scan again.")


async def test_what_was_said_goes_with_what_it_was_about(stage: Stage) -> None:
    said = stage.page.locator("#said")
    stage.answers["/v1/scans"] = (200, {"heard": "goods"})
    await stage.tell(IDLE)
    await scan(stage, "4006381333931")
    await expect(said).not_to_be_empty()

    # another scan, or another panel, is not about it any more
    stage.answers["/v1/scans"] = (200, {"heard": "member"})
    await scan(stage)
    await stage.tell(STATES["member"])
    await expect(said).to_be_empty()
    stage.answers["/v1/customer"] = (404, {})
    for key in ("f", "9", "Enter"):
        await stage.press(key)
    await expect(said).to_have_text("Nobody is known here by this number.")
    await stage.press("Escape")
    await stage.read()
    await stage.press("m")
    await expect(said).to_be_empty()


async def test_a_new_card_joins_with_what_was_typed(stage: Stage) -> None:
    stage.answers["/v1/customer/join"] = (201, {"member": "p-1", "entries": 1})
    await stage.tell(STATES["unknown"])
    await stage.press("n")
    await stage.page.keyboard.type("Iva K", delay=70)
    await stage.settle()
    await stage.page.locator("#consent_sms").check()
    await stage.page.locator("#phone").fill("+381641234567")
    await stage.confirm()

    [(_, path, given)] = stage.asked
    assert path == "/v1/customer/join"
    assert given == {
        "turn": 8,
        "short_name": "Iva K",
        "phone": "+381641234567",
        "consents": [{"channel": "sms", "state": "granted", "text_version": "till-2026-11-en"}],
    }


async def test_a_refusal_says_why_in_the_pages_words(stage: Stage) -> None:
    stage.answers["/v1/customer/rewards"] = (409, {"reason": "not_enough"})
    await stage.tell(replace(STATES["member"], language="de"))
    await stage.press("1")
    await stage.confirm()
    await expect(stage.page.locator("#said")).to_have_text("So viele Punkte sind hier ohne die Zentrale nicht sicher.")

    stage.answers["/v1/customer"] = (404, {})
    await stage.press("Escape")
    await stage.press("f")
    await stage.page.keyboard.type("123", delay=70)
    await stage.settle()
    await stage.press("Enter")
    await expect(stage.page.locator("#said")).to_have_text("Unter dieser Nummer ist hier niemand bekannt.")


async def test_points_do_not_shrink_without_a_word(stage: Stage) -> None:
    await stage.tell(STATES["member"])
    await stage.tell(STATES["reserved"])
    await expect(stage.page.locator("#fewer")).to_be_empty()  # what is reserved says so itself
    await stage.tell(STATES["member"])
    assert KNOWN.member is not None
    await stage.tell(replace(IDLE, customer=replace(KNOWN, member=replace(KNOWN.member, spendable=2460))))

    await expect(stage.page.locator("#fewer")).to_have_text("20 points fewer: counted anew at the centre.")


async def test_what_the_centre_takes_after_the_sale_is_said_as_well(stage: Stage) -> None:
    fewer = stage.page.locator("#fewer")
    sale, after = STATES["sale"], AFTER.member
    assert after is not None

    async def told(member: MemberView) -> None:
        await stage.tell(replace(sale, customer=replace(AFTER, member=member)))

    # given points that were paid with, which the receipt says itself
    await stage.tell(STATES["reserved"])
    await told(replace(after, spendable=1980))
    await expect(fewer).to_be_empty()
    # and such as count from now on
    await told(replace(after, spendable=1990, pending=320))
    await expect(fewer).to_be_empty()

    # when it counts fewer, or has fewer to come
    await told(replace(after, spendable=1970, pending=320))
    await expect(fewer).to_have_text("20 points fewer: counted anew at the centre.")
    await told(replace(after, spendable=1970, pending=310))
    await expect(fewer).to_have_text("10 points fewer: counted anew at the centre.")

    # then nothing of it is said of the same customer's next visit
    await stage.tell(IDLE)
    await told(replace(after, spendable=900))
    await expect(fewer).to_be_empty()


async def test_j_joins_whoever_has_a_card_by_it(stage: Stage) -> None:
    await stage.tell(STATES["unknown"])
    await stage.press("j")
    await expect(stage.page.locator("#short_name")).to_be_focused()


async def test_with_neither_a_card_nor_a_page_to_join_on_it_says_what_to_do(stage: Stage) -> None:
    await stage.tell(replace(IDLE, invites=False))
    await stage.press("j")
    await expect(stage.page.locator("#desk")).to_contain_text("hand out a new card, scan it, then press N")
    assert stage.asked == []

    # and once that is scanned the way is open
    await stage.tell(STATES["unknown"])
    await stage.press("n")
    await expect(stage.page.locator("#short_name")).to_be_focused()


async def test_all_rewards_are_reached_nine_at_a_time(stage: Stage) -> None:
    stage.answers["/v1/customer/rewards"] = (201, {})
    every = tuple(replace(ANA.rewards[0], reward=f"r{n}", title=f"Reward {n}", times=1) for n in range(1, 21))
    shown = stage.page.locator("#desk .choices .what")
    await stage.tell(replace(IDLE, customer=replace(KNOWN, member=replace(ANA, rewards=every))))

    for page, more in ((range(1, 10), 11), (range(10, 19), 11), (range(19, 21), 18), (range(1, 10), 11)):
        assert await shown.all_text_contents() == [f"Reward {n}" for n in page]
        await expect(stage.page.locator("#desk [aria-keyshortcuts='0']")).to_contain_text(f"{more} more")
        await stage.press("0")
    await stage.read()
    await stage.press("3")
    await stage.confirm()

    assert stage.asked == [("POST", "/v1/customer/rewards", {"turn": KNOWN.turn, "reward": "r12", "times": 1})]


async def test_a_note_is_shown_with_an_old_card_too(stage: Stage) -> None:
    noted = replace(KNOWN, replaced_by="1234", member=replace(ANA, note="asks for a blue bag"))
    await stage.tell(replace(IDLE, customer=noted))
    shown = "Old card, replaced by …1234: take it in. · asks for a blue bag"
    await expect(stage.page.locator("#message")).to_have_text(shown)


async def test_the_customer_is_told_why_points_are_fewer(browser: Browser) -> None:
    stage = await staged(browser, path="/customer")
    fewer = stage.page.locator("#fewer")

    async def told(spendable: int, turn: int = 7) -> None:
        customer = replace(KNOWN, turn=turn, member=replace(ANA, spendable=spendable))
        await stage.tell(screen_of(replace(IDLE, customer=customer)))

    await told(2480)
    await expect(fewer).to_be_empty()
    await told(2460)
    await expect(fewer).to_have_text("20 points fewer: counted anew at the centre.")
    # of another customer with the same name nothing is said
    await told(900, turn=8)
    await expect(fewer).to_be_empty()


async def test_a_new_card_and_a_telephone_number_that_is_known_end_at_that_member(stage: Stage) -> None:
    stage.answers["/v1/customer/join"] = (409, {"reason": "phone_known", "name": "Iva K."})
    await stage.tell(STATES["unknown"])
    await stage.press("n")
    await stage.page.locator("#phone").focus()
    await stage.page.keyboard.type("0641234567", delay=70)
    await stage.confirm()
    await expect(stage.page.locator("#desk .amount")).to_have_text("Iva K.")

    stage.answers["/v1/customer/join"] = (201, {"member": "m-iva", "entries": 1})
    await stage.confirm()

    given = {"turn": 8, "phone": "0641234567"}
    assert [told for _, _, told in stage.asked] == [given, given | {"known": True}]
    await expect(stage.page.locator("#said")).to_have_text("Welcome: points count from now on.")


async def test_what_other_channels_know_stands_there_with_its_age_while_they_are_served(stage: Stage) -> None:
    shown = stage.page.locator("#elsewhere li")
    await stage.tell(STATES["member, from elsewhere"])
    await expect(shown).to_have_text(
        [
            "Next appointment · 23 Nov 12:46Shoe fitting with Mara",
            "Order to collect · 20 h agoPram, grey: shelf 12",
            "Online cart · 50 min ago3 items, 84.90 EUR",
            "Last contact · 3 days agoAsked for the catalogue by e-mail",
        ]
    )
    newer = ContextLine(kind="warranty", text="until May", at=NOW - timedelta(hours=1))
    await stage.tell(replace(IDLE, customer=replace(KNOWN, member=replace(ANA, context=(newer,)))))
    await expect(shown).to_have_text(["1 h agountil May"])

    await stage.tell(STATES["sale"])
    await expect(stage.page.locator("#elsewhere")).to_be_hidden()


async def test_language_sounds_and_letters_are_the_cashiers_choice(stage: Stage) -> None:
    await stage.tell(STATES["member"])
    for key in ("m", "3", "s", "k"):
        await stage.press(key)
        await stage.read()
    await expect(stage.page.locator("html")).to_have_attribute("lang", "sr-Cyrl-RS")
    await expect(stage.page.locator("#desk button").first).to_have_text("SЗвук: не")
    await stage.press("Escape")

    # without letters and digits everything is reached by Tab and Enter
    await stage.press("1")
    assert await stage.page.locator("#desk h2").first.inner_text() == "Награде сада"
    await stage.page.locator("#desk .choices button").first.focus()
    await stage.press("Enter")
    await expect(stage.page.locator("#desk .main")).to_be_focused()
    await stage.page.reload()
    await stage.reopened()
    await stage.tell(STATES["member"], lang="sr-Cyrl-RS")


async def test_a_name_that_is_read_from_right_to_left_turns_nothing_around_it(stage: Stage) -> None:
    for name, shown in (("محمد علي", "\u2068محمد علي\u2069"), ("Ana P.", "Ana P.")):
        await stage.tell(
            replace(STATES["idle, late receipts"], customer=replace(KNOWN, member=replace(ANA, name=name)))
        )
        await stage.press("l")
        await expect(stage.page.locator("#desk p").first).to_have_text(f"Which one is {shown}’s?")
        await stage.press("Escape")


async def test_who_goes_by_tab_comes_back_to_where_they_were(stage: Stage) -> None:
    await stage.tell(STATES["member"])
    focused = stage.page.locator(":focus")
    for one in ("#desk .choice >> nth=1", "#keys button >> nth=-1"):
        button = stage.page.locator(one)
        await button.focus()
        name = await button.get_attribute("aria-keyshortcuts")
        await stage.press("Space")
        await expect(stage.page.locator("#desk")).not_to_have_attribute("data-panel", "home")
        await stage.press("Escape")
        await expect(stage.page.locator("#desk")).to_have_attribute("data-panel", "home")
        await expect(focused).to_have_attribute("aria-keyshortcuts", name or "")
    # who goes by keys alone has the focus nowhere, where Enter presses nothing
    await stage.page.evaluate("document.activeElement.blur()")
    await stage.press("1")
    await stage.press("Escape")
    await expect(focused).to_have_count(0)


async def test_what_enter_would_do_is_read_out_with_its_button(stage: Stage) -> None:
    await stage.tell(STATES["member"])
    await stage.press("1")
    main = stage.page.locator("#desk .main")
    await expect(main).to_be_focused()
    await expect(main).to_have_accessible_description("5.00\u00a0EUR off this sale, for 500 points.")
