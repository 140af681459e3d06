"""Everything that the cashier page can show: states as they are told, and what follows from keys, from the register's
answers, and from its silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace
from playwright.async_api import expect

from agent.view import PageState
from tests.browser.stage import Stage
from tests.browser.states import ANA, CROWDED, IDLE, KNOWN, LATE, STATES

# Among keys: the cashier looks at the page for as long as it takes to read it.
READS: Final = "…"
# Two keys in which somebody is removed, or a reward reserved.
DONE: Final = (READS, "Enter")
TYPED_MS = 70


class Scene(Struct, frozen=True, kw_only=True):
    """How the page comes to show something: it is `told` states, `keys` are pressed or typed, which the register
    answers with `answers` by path, then it is told `then`, or hears no more of the register.
    """

    told: tuple[PageState, ...] = ()
    keys: tuple[str, ...] = ()
    answers: Mapping[str, tuple[int, object]] = {}
    then: PageState | None = None
    link: Literal["live", "connecting", "silent", "unpaired"] = "live"

    @property
    def is_plain(self) -> bool:
        """Whether the next scene can follow on it at once."""
        return len(self.told) == 1 and not self.keys and self.link == "live"


def opened(before: PageState, *keys: str) -> Scene:
    return Scene(told=(before,), keys=keys)


_POORER: Final = replace(IDLE, customer=replace(KNOWN, member=replace(ANA, spendable=2460)))
_REFUSED: Final = {"/v1/customer/rewards": (409, {"reason": "not_offline"})}
_UNKNOWN: Final = STATES["unknown"]
_JOINED: Final = replace(IDLE, customer=replace(KNOWN, turn=8, member=replace(ANA, tier=None, rewards=(), spendable=0)))
_PHONE_KNOWN: Final = {"/v1/customer/join": (409, {"reason": "phone_known", "name": "Iva K."})}

# What a cashier opens, each of which Escape closes.
PANELS: Final[dict[str, Scene]] = {
    "redeem": opened(STATES["member"], "1"),
    "redeem, twice": opened(STATES["member"], "1", READS, "2"),
    "give back": opened(STATES["reserved, of the goods"], "Delete"),
    "remove": opened(STATES["member"], "Delete"),
    "find": opened(IDLE, "f"),
    "join": opened(_UNKNOWN, "n"),
    "join here": opened(STATES["invited"], "n"),
    "number is a member's": Scene(told=(_UNKNOWN,), keys=("n", "Tab", "0641234567", *DONE), answers=_PHONE_KNOWN),
    "settings": opened(IDLE, "m"),
    "why": opened(STATES["sale"], "w"),
    "late, nobody scanned": opened(replace(LATE, customer=None), "l"),
    "late": opened(LATE, "l"),
    "late, give": opened(LATE, "l", READS, "1"),
    "late, no receipt": Scene(told=(LATE,), keys=("l",), then=STATES["member"]),
}
SAID: Final[dict[str, Scene]] = {
    "refused": Scene(told=(STATES["member"],), keys=("3", *DONE), answers=_REFUSED),
    "removed": Scene(told=(STATES["member"],), keys=("Delete", *DONE), then=IDLE),
    "given back": Scene(told=(STATES["reserved"],), keys=("Delete", *DONE), then=STATES["member"]),
    "joined": Scene(told=(_UNKNOWN,), keys=("n", "Ana P", *DONE), then=_JOINED),
    "nobody found": Scene(told=(IDLE,), keys=("f", "0642223333", "Enter"), answers={"/v1/customer": (404, {})}),
    "fewer points": Scene(told=(STATES["member"], _POORER)),
    "connecting": Scene(link="connecting"),
    "not paired": Scene(told=(IDLE,), link="unpaired"),
    "silent": Scene(told=(STATES["member"],), link="silent"),
    "silent at the sale": Scene(told=(STATES["sale"],), link="silent"),
    "silent, nobody there": Scene(told=(IDLE,), link="silent"),
    "crowded": Scene(told=(CROWDED,)),
}
SCENES: Final[dict[str, Scene]] = {**{name: Scene(told=(state,)) for name, state in STATES.items()}, **PANELS, **SAID}
_STATES = list(STATES)
_CARDS_FROM = _STATES.index("checking")
# By what they are about, as many as can be looked at together.
GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "serving": tuple(_STATES[:_CARDS_FROM]),
    "cards": tuple(_STATES[_CARDS_FROM:]),
    "keys": (*PANELS, *SAID),
}


async def play(stage: Stage, scene: Scene, language: str = "en") -> None:
    stage.answers.update(scene.answers)
    for state in scene.told:
        await stage.tell(replace(state, language=language))
    for key in scene.keys:
        await _press(stage, key)
    if scene.then is not None:
        await stage.tell(replace(scene.then, language=language))
    if scene.link == "connecting":
        await stage.page.reload()
        await stage.reopened()
        await expect(stage.page.locator("#badge-text")).to_have_text("connecting…")
    elif scene.link != "live":
        if scene.link == "unpaired":
            stage.answers["/v1/ping"] = (403, {})
        await stage.fall_silent()
        await stage.reopened()  # it tries again, and is not answered
        await stage.settle()


async def leave(stage: Stage, scene: Scene) -> None:
    """As if the page were opened again, where something of the scene would stay."""
    stage.answers.clear()
    if not scene.is_plain:
        await stage.page.reload()
        await stage.reopened()


async def _press(stage: Stage, key: str) -> None:
    if key == READS:
        await stage.read()
    elif len(key) == 1 or key in ("Enter", "Tab", "Delete"):
        await stage.press(key)
    else:
        await stage.page.keyboard.type(key, delay=TYPED_MS)
        await stage.settle()
