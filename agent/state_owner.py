"""As whom root works with a register's keys and store: as the user whose the state folder is.

A file that root made there could not be read by the agent. Never used where the caller is not root.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from msgspec import Struct

if sys.platform != "win32":
    import grp
    import pwd


class Owner(Struct, frozen=True, kw_only=True):
    """A user with all of its groups."""

    user: int
    group: int
    groups: tuple[int, ...]


def owner_of(state: Path) -> Owner | None:
    """None where there is nobody else to be: the caller is not root, the folder is root's, or it is not there."""
    if sys.platform == "win32" or os.geteuid() != 0:
        return None
    try:
        owner = pwd.getpwuid(state.stat().st_uid)
    except (FileNotFoundError, KeyError):
        return None
    if owner.pw_uid == 0:
        return None
    groups = tuple(group.gr_gid for group in grp.getgrall() if owner.pw_name in group.gr_mem)
    return Owner(user=owner.pw_uid, group=owner.pw_gid, groups=groups)


def become(owner: Owner) -> None:
    """For the rest of this process: there is no way back."""
    if sys.platform != "win32":
        os.setgroups(owner.groups)
        os.setgid(owner.group)
        os.setuid(owner.user)
