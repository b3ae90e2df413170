"""Asking about the newest block: a node that mines the next one meanwhile may mix the two (anvil takes the time of its
calls and the state of its proofs from there), so that what does not fit is asked for again before it is believed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

Answer = TypeVar("Answer")

PAUSES_SECONDS = (0.2, 1.0)


async def ask_again(ask: Callable[[], Awaitable[Answer]], fits: Callable[[Answer], bool]) -> Answer:
    """Ask until an answer fits, three times at most within two seconds; returns the last answer."""
    answer = await ask()
    for pause in PAUSES_SECONDS:
        if fits(answer):
            break
        await asyncio.sleep(pause)
        answer = await ask()
    return answer
