"""Names that would turn a line around, or are none: from the feed, at a join and in an edit."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from agent.problem import MalformedBodyError
from agent.profiles import EditRequest, GivenCode, JoinRequest, Profiles
from agent.view import Promise, member_view
from sync.records import JoinBody, ProfileBody
from sync.store.reading import MAX_LISTED
from tests.agent.shop import ANA, Shop, at

TURNED = "Ana \u202e.DSR 00,9 sunim"


async def test_a_name_of_the_feed_turns_nothing_around(shop: Shop) -> None:
    nobody = replace(ANA, member="m-none", identifiers=(), short_name="\u202e\u200f")
    await shop.seed((replace(ANA, short_name=TURNED), nobody))
    for member in (shop.store.member_by_code("TS1001"), *shop.store.find_members("TS1001")):
        assert member is not None
        assert member.short_name == "Ana .DSR 00,9 sunim"
    # and one of nothing is none
    found = shop.store.member("m-none")
    assert found is not None
    assert member_view(found, Promise(), at(9).wall).name is None


async def test_a_name_that_is_told_here_is_told_as_it_is_shown(shop: Shop) -> None:
    await shop.seed()
    profiles = Profiles(shop.store)
    await profiles.join(JoinRequest(short_name=TURNED, code=GivenCode(code="TS900")), None)
    await profiles.edit("TS1001", EditRequest(short_name="Bo\nB\u2066"), None)
    join, edit = (shop.store.entry(one.number).json for one in shop.store.queue(limit=MAX_LISTED))
    assert msgspec.json.decode(join, type=JoinBody).fields["short_name"].value == "Ana .DSR 00,9 sunim"
    assert msgspec.json.decode(edit, type=ProfileBody).fields["short_name"].value == "Bo B"
    # and taken away where that is meant
    await profiles.edit("TS1001", EditRequest(short_name=None), None)
    member = shop.store.member_by_code("TS1001")
    assert member is not None
    assert not member.short_name


@pytest.mark.parametrize("name", ["\u202e", "\u200d", "\u0301", "\u3164"])
async def test_a_name_of_nothing_is_refused(shop: Shop, name: str) -> None:
    await shop.seed()
    with pytest.raises(MalformedBodyError, match="nothing to read"):
        await Profiles(shop.store).join(JoinRequest(short_name=name, code=GivenCode(code="TS900")), None)
    with pytest.raises(MalformedBodyError, match="nothing to read"):
        await Profiles(shop.store).edit("TS1001", EditRequest(short_name=name), None)
