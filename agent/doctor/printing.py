"""A question to the printer through its relay, by the way that the POS prints, and what the answer means.

Owns when it may be asked at all, so that no receipt has to wait, and for how long. Prints nothing: a printer answers
these commands in real time, and the relay takes them for no job.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from agent.inspection import Verdict

# Printers answer in milliseconds. A POS that comes meanwhile may have to wait for so long.
ANSWER_WITHIN_S: Final = 2.0
# The relay goes on with the job of a POS that comes again from the same address: we come from none of a POS.
_OUR_HOST: Final = "127.0.0.2"
_HERE: Final = "127.0.0.1"
# DLE EOT 1, 2 and 4: whether it is on line, why not, and the paper (Epson, ESC/POS Command Reference).
_ESCPOS_ASKS: Final = b"\x10\x04\x01\x10\x04\x02\x10\x04\x04"
_ESCPOS_ANSWERS: Final = 3
# ESC ACK SOH, whose answer is the automatic status (Star, Line Mode Command Specifications); only that it came is told.
_STAR_ASKS: Final = b"\x1b\x06\x01"
# Bits 0, 1, 4 and 7 say what a byte is: an answer to DLE EOT, no automatic status and no XON or XOFF.
_KIND_BITS, _IS_ANSWER = 0x93, 0x12
_OFF_LINE, _COVER_OPEN, _PAPER_STOPS, _ERROR = 0x08, 0x04, 0x20, 0x40
_PAPER_LOW, _PAPER_OUT = 0x0C, 0x60
# Of this way nothing comes back, nor of a named pipe.
_SPOOLER: Final = "spooler:"

Said = tuple[Verdict, str]


async def printer_said(relay: Mapping[str, Any], *, selling: bool, within_s: float = ANSWER_WITHIN_S) -> Said | None:
    """What the printer of a relay that runs says, by that relay's `status.json`. None for a relay without one."""
    printer = relay.get("printer")
    if not isinstance(printer, str) or not printer:
        return None
    address, why_not = _way_in(str(relay.get("listen", ""))), _why_not(relay, selling=selling)
    if address is None or printer.startswith(_SPOOLER) or await asyncio.to_thread(_is_pipe, printer):
        return "healthy", f"{printer} cannot be asked by the POS's way: print a test receipt"
    if why_not:
        return "healthy", f"{printer} was not asked, since {why_not}"
    return await _answered(relay, printer, address, within_s)


def _is_pipe(printer: str) -> bool:
    """An address is no path: looked for in a folder that this user may not enter, it would be an error."""
    return printer.startswith("/") and Path(printer).is_fifo()


def _why_not(relay: Mapping[str, Any], *, selling: bool) -> str:
    """Why it is no moment to ask; empty where it is."""
    if relay.get("connections") is None:
        return "its relay is of an earlier version: start it again"
    return "the POS is at it: try again while nobody sells" if selling or relay["connections"] else ""


async def _answered(relay: Mapping[str, Any], printer: str, address: tuple[str, int], within_s: float) -> Said:
    is_star = relay.get("language") == "star"
    try:
        answer = await _asked(
            address, _STAR_ASKS if is_star else _ESCPOS_ASKS, 1 if is_star else _ESCPOS_ANSWERS, within_s
        )
    except ConnectionRefusedError:
        said = f"nobody takes print jobs at {relay['listen']}: start the relay again, and look at its log"
        return "problem", said
    except OSError:
        said = f"the relay has no way to {printer}: see that it is on and connected, and that --printer names it"
        return "problem", said
    if not answer:
        said = (
            f"no answer of {printer} within {within_s:g} s: see that it is on, and that its cable or network "
            "carries both ways; for one that never answers print a test receipt"
        )
        return "degraded", said
    if is_star:
        return "healthy", f"{printer} answers"
    verdict, told = meaning(answer)
    return verdict, f"{printer} {told}"


def meaning(answer: bytes) -> Said:
    """What a printer means by its answers to DLE EOT 1, 2 and 4, of which the last may be missing."""
    said = [byte for byte in answer if byte & _KIND_BITS == _IS_ANSWER]
    if not said:
        return "degraded", "answers what is no status: see that --printer names the printer, and its --language"
    state, cause, paper = (*said, *[_IS_ANSWER] * _ESCPOS_ANSWERS)[:_ESCPOS_ANSWERS]
    if paper & _PAPER_OUT or cause & _PAPER_STOPS:
        return "degraded", "is out of paper: put a roll in"
    if cause & _COVER_OPEN:
        return "degraded", "has its cover open: close it"
    if cause & _ERROR:
        return "degraded", "reports an error: look at its lamps, free its cutter, and switch it off and on"
    if state & _OFF_LINE:
        return "degraded", "is off line: look at its lamps, and switch it off and on"
    if paper & _PAPER_LOW:
        return "healthy", "answers; its paper is nearly at its end"
    return "healthy", "answers, is on line and has paper" if len(said) == _ESCPOS_ANSWERS else "answers"


def _way_in(listen: str) -> tuple[str, int] | None:
    """Where to connect for a relay that listens there; None for a wire, a queue of CUPS, or IPv6 alone."""
    host, _, port = listen.rpartition(":")
    if not (port.isascii() and port.isdigit()):
        return None
    if host in ("0.0.0.0", "[::]"):  # noqa: S104 - every address, ours too
        return _HERE, int(port)
    is_ipv4 = all(part.isdigit() for part in host.split(".")) and host.count(".") == 3
    return (host, int(port)) if is_ipv4 else None


async def _asked(address: tuple[str, int], question: bytes, count: int, within_s: float) -> bytes:
    """Up to `count` bytes of an answer. Raises OSError, also where the relay hangs up before any came."""
    answer = b""
    writer = None
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                reader, writer = await asyncio.open_connection(*address, local_addr=(_OUR_HOST, 0))
                writer.write(question)
                while len(answer) < count:
                    if not (more := await reader.read(count)):
                        break
                    answer += more
                else:
                    return answer
                if not answer:
                    raise ConnectionResetError
    except ConnectionResetError:
        if not answer:
            raise
    finally:
        if writer is not None:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
    return answer
