"""The clock by which a detector follows epochs: it goes like the chain's, in seconds since 1970."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time and waits for it."""

    def now(self) -> float:
        """Return the seconds since 1970."""

    async def until(self, moment: float) -> None:
        """Return when it is that late, at once when it is later."""


class WallClock:
    """This machine's clock, which must go right within some seconds, as those of chain nodes do."""

    def now(self) -> float:
        """See Clock."""
        return time.time()

    async def until(self, moment: float) -> None:
        """See Clock."""
        await asyncio.sleep(max(0.0, moment - self.now()))
