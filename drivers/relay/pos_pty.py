"""A scanner port made for the POS: a pseudo-terminal behind a link that keeps its name.

Owns the terminal, the link and their rights, and whether a POS has the port open. Never interprets a byte.
"""

from __future__ import annotations

import array
import asyncio
import errno
import fcntl
import os
import select
import shutil
import termios
import tty
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from drivers.transport.port import PortMissingError, PortUnpluggedError, TransportClosedError

# Read at a time of what the POS sends to the scanner: commands of a few bytes.
READ_BYTES: Final = 4096
# A terminal's content goes with it. So long the POS may take to read what is in it when the relay ends.
DRAIN_WITHIN_S: Final = 0.5
_DRAIN_STEP_S: Final = 0.01
# Where pseudo-terminals are (Linux, Documentation/admin-guide/devices.txt).
_TERMINALS: Final = Path("/dev/pts")


class PosPty:
    """The `Transport` to a POS that opens the terminal behind `link` as its scanner's port.

    Only this user may open it, or with `group` all of that group, too. It is open while a POS has it open. What a
    POS had not read when it closed its port is thrown away, as a serial adapter does: the next sale is not to
    begin with it.
    """

    def __init__(self, link: Path, *, group: str | None = None) -> None:
        self._link = link
        self._group = group
        self._ours: int | None = None
        self._theirs = ""
        self._poll = select.poll()
        self._is_open = False
        self._waiting: set[asyncio.Future[None]] = set()  # `read` and `write`, for `close` to wake

    def make(self) -> None:
        """Make the terminal and its link; does nothing when they are there. Raises OSError."""
        if self._ours is not None:
            return
        ours, theirs = os.openpty()
        try:
            tty.setraw(theirs)
            self._theirs = os.ttyname(theirs)
            self._let_in(self._theirs)
            self._point_link()
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)  # from now on only the POS opens it, so its going can be seen
        os.set_blocking(ours, False)
        self._poll.register(ours, select.POLLIN)
        self._ours = ours

    async def open(self) -> None:
        """Raises PortMissingError while no POS has the terminal open, or it cannot be made."""
        try:
            self.make()
        except OSError as error:
            raise PortMissingError(f"{self._link} cannot be made for the POS: {error.strerror or error}") from error
        if not self._pos_is_there():
            raise PortMissingError(f"No POS has {self._link} open. Set it as the scanner's port in the POS.")
        self._is_open = True

    async def read(self) -> bytes:
        while True:
            ours = self._opened()
            try:
                return os.read(ours, READ_BYTES)
            except (BlockingIOError, InterruptedError):
                loop = asyncio.get_running_loop()
                await self._ready(ours, loop.add_reader, loop.remove_reader)
            except OSError as error:
                raise self._gone() from error

    async def write(self, data: bytes) -> None:
        """Raises PortMissingError when the POS has gone and got nothing, PortUnpluggedError when it got a part."""
        rest = memoryview(data)
        while rest:
            ours = self._opened()
            if not self._pos_is_there():
                if len(rest) < len(data):
                    raise self._gone()
                raise PortMissingError(f"No POS has {self._link} open.")
            try:
                rest = rest[os.write(ours, rest) :]
            except (BlockingIOError, InterruptedError):
                loop = asyncio.get_running_loop()
                await self._ready(ours, loop.add_writer, loop.remove_writer)
            except OSError as error:
                raise self._gone() from error

    async def close(self) -> None:
        self._is_open = False
        for ready in self._waiting:
            _wake(ready)
        if self._ours is not None and not self._pos_is_there():
            self._throw_away_unread(self._ours)

    async def remove(self) -> None:
        """Take terminal and link away, after the POS has read what is in it or its time is up."""
        ours, self._ours = self._ours, None
        if ours is None:
            return
        empty = 0  # twice: bytes are a moment under way in the kernel, where nobody can count them
        for _ in range(round(DRAIN_WITHIN_S / _DRAIN_STEP_S)):
            empty = 0 if self._unread() else empty + 1
            if empty == 2:
                break
            await asyncio.sleep(_DRAIN_STEP_S)
        with suppress(OSError):
            if self._link.readlink() == Path(self._theirs):
                self._link.unlink()
        self._poll.unregister(ours)
        os.close(ours)

    async def _ready(self, ours: int, add: Callable[..., None], remove: Callable[[int], bool]) -> None:
        ready = asyncio.get_running_loop().create_future()
        self._waiting.add(ready)
        add(ours, _wake, ready)
        try:
            await ready
        finally:
            remove(ours)
            self._waiting.discard(ready)

    def _opened(self) -> int:
        if self._ours is None or not self._is_open:
            raise TransportClosedError(f"{self._link} is not open.")
        return self._ours

    def _pos_is_there(self) -> bool:
        return not any(events & select.POLLHUP for _, events in self._poll.poll(0))

    def _let_in(self, terminal: str) -> None:
        """Give the rights on the terminal, whatever those of new terminals are on this machine."""
        if self._group is None:
            Path(terminal).chmod(0o600)
        else:
            try:
                shutil.chown(terminal, group=self._group)
            except LookupError as error:
                raise OSError(errno.EINVAL, str(error)) from error
            Path(terminal).chmod(0o660)

    def _point_link(self) -> None:
        """Replace a link that another run left; anything else in its place belongs to somebody."""
        if os.path.lexists(self._link) and not self._is_of_a_run():
            raise FileExistsError(errno.EEXIST, "something else has that name; give another to --pos")
        fresh = self._link.with_name(f"{self._link.name}.new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(self._theirs)
        fresh.replace(self._link)

    def _is_of_a_run(self) -> bool:
        return self._link.is_symlink() and self._link.readlink().parent == _TERMINALS

    def _throw_away_unread(self, ours: int) -> None:
        with suppress(OSError, termios.error):
            termios.tcflush(ours, termios.TCOFLUSH)  # what is under way; then what has arrived
            theirs = os.open(self._theirs, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                termios.tcflush(theirs, termios.TCIFLUSH)
            finally:
                os.close(theirs)

    def _unread(self) -> bool:
        """Whether a POS is there that has not read everything yet."""
        if not self._pos_is_there():
            return False
        count = array.array("i", [0])
        with suppress(OSError):
            theirs = os.open(self._theirs, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                fcntl.ioctl(theirs, termios.FIONREAD, count)
            finally:
                os.close(theirs)
        return count[0] > 0

    def _gone(self) -> PortUnpluggedError:
        return PortUnpluggedError(f"The POS has closed {self._link}.")


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
