"""The file of `members import`, as far as it is read before anything is changed."""

from __future__ import annotations

import pytest

from central.members import MembersFileError, members_from_json


@pytest.mark.parametrize(
    "document", [b"{", b'{"members":[{"member":"\xff"}]}', b'{"members":[{"member":"m1","surprise":1}]}']
)
def test_a_file_that_cannot_be_read_leads_to_its_description(document: bytes) -> None:
    with pytest.raises(MembersFileError, match=r"docs/central\.md"):
        members_from_json(document)
