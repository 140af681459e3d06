"""Which keys of a shared wedge reach the POS, and when."""

from __future__ import annotations

from drivers.wedge.encode import encode
from drivers.wedge.passage import Judged, Release, WedgePassage


def test_a_claimed_code_is_withheld_whole_and_another_released_whole() -> None:
    for claimed in (True, False):
        passage = WedgePassage("de", lambda _, claimed=claimed: claimed)
        keys = encode("de", "]C1MEMBER-12")

        steps = [step for key in keys for step in passage.feed(key)]

        released = [key for step in steps if isinstance(step, Release) for key in step.events]
        assert released == ([] if claimed else keys)
        (judged,) = [step for step in steps if isinstance(step, Judged)]
        assert (judged.code.text, judged.withheld) == ("]C1MEMBER-12", claimed)
