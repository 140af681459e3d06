"""A scanner that the running agent holds, borrowed for as long as a test lasts.

Owns asking for it, asking again before the time is up, and giving it back however the test ends. Never opens it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from agent.cli.connection import AgentUnreachableError, RunningAgent, running_agent
from agent.inspection import NotFoundError
from config.settings import Settings

# A test that is killed gives nothing back: the till has its scanner again after this.
LENT_FOR_S = 120
RENEWED_EVERY_S = 60.0


@asynccontextmanager
async def borrowed(settings: Settings, scanner: str) -> AsyncIterator[bool]:
    """The scanner is ours to open within the block; gives whether an agent runs that held it.

    Raises AgentUnreachableError.
    """
    agent = await asyncio.to_thread(running_agent, settings)
    if agent is None or not await _lend(agent, scanner):
        yield False
        return
    renewing = asyncio.create_task(_renew(agent, scanner))
    try:
        yield True
    finally:
        renewing.cancel()
        with suppress(AgentUnreachableError, NotFoundError):  # an agent that has ended holds nothing
            await asyncio.to_thread(agent.give_back, scanner)


async def _lend(agent: RunningAgent, scanner: str) -> bool:
    """Whether the agent has let go of it; one that does not know it (the settings are newer) does not hold it."""
    try:
        await asyncio.to_thread(agent.lend, scanner, LENT_FOR_S)
    except NotFoundError:
        return False
    return True


async def _renew(agent: RunningAgent, scanner: str) -> None:
    while True:
        await asyncio.sleep(RENEWED_EVERY_S)
        with suppress(AgentUnreachableError):  # tried again, and the agent may be stopping
            await _lend(agent, scanner)
