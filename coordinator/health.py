"""Whether this process can do its work now: each part says what is wrong, or nothing."""

import asyncio
from collections.abc import Awaitable, Callable

from fastapi.responses import JSONResponse
from sqlalchemy import text

from coordinator.chain.sql_cursor import SqlCursorTransaction
from coordinator.database import Database
from soterone.chain.follower import Follower
from soterone.chain.sender import Sender

Check = Callable[[], Awaitable[str]]
"""Returns what is wrong in a sentence, or nothing."""

_CHECK_SECONDS = 2.0
_PASSING_SECONDS = 3.0


class Health:
    """Named checks; a process is ready while none has anything to say."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}

    def add(self, name: str, check: Check) -> None:
        """Ask this too from now on."""
        self._checks[name] = check

    async def complaints(self) -> dict[str, str]:
        """Return what is wrong, by name; nothing when ready."""
        sentences = await asyncio.gather(*(self._ask(check) for check in self._checks.values()))
        return {name: said for name, said in zip(self._checks, sentences, strict=True) if said}

    async def _ask(self, check: Check) -> str:
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                return await check()
        except TimeoutError:
            return "gives no answer"
        except Exception as error:
            return f"failed ({type(error).__name__})"


async def readiness(health: Health) -> JSONResponse:
    """Return the answer to `/readyz`: 200 when everything that the process needs answers, 503 with what does not."""
    complaints = await health.complaints()
    status = "not ready" if complaints else "ready"
    return JSONResponse({"status": status, "complaints": complaints}, 503 if complaints else 200)


def database_check(database: Database) -> Check:
    """Return the check that the database answers."""

    async def check() -> str:
        async with database.reading() as session:
            await session.execute(text("SELECT 1"))
        return ""

    return check


def chain_check(
    follower: Follower[SqlCursorTransaction], answer_limit_seconds: float, head_limit_seconds: float
) -> Check:
    """Return the check that the chain answers and its head moves; a head limit of 0 lets it stand still."""

    async def check() -> str:
        answer_age, head_age = follower.answer_age_seconds, follower.head_age_seconds
        if answer_age is None or head_age is None:
            return "the chain was not followed to its head yet"
        if answer_age > answer_limit_seconds:
            return f"the chain was not followed to its head for {answer_age:.0f} seconds"
        if 0 < head_limit_seconds < head_age:
            return f"the chain's head stands still for {head_age:.0f} seconds"
        return ""

    return check


def sender_check(sender: Sender) -> Check:
    """Return the check that transactions go out; what is over within seconds is nothing to report."""

    async def check() -> str:
        age = sender.problem_age_seconds
        return sender.problem or "" if age is not None and age > _PASSING_SECONDS else ""

    return check
