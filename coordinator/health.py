"""Whether this process can do its work now: each part says what is wrong, or nothing."""

import asyncio
from collections.abc import Awaitable, Callable

from fastapi.responses import JSONResponse
from sqlalchemy import text

from coordinator.database import Database

Check = Callable[[], Awaitable[str]]
"""Returns what is wrong in a sentence, or nothing."""

_CHECK_SECONDS = 2.0


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


def chain_check(answer_age_seconds: Callable[[], float | None], limit_seconds: float) -> Check:
    """Return the check that the follower was up to date not long ago."""

    async def check() -> str:
        age = answer_age_seconds()
        if age is None:
            return "the chain was not followed to its head yet"
        return f"the chain gave no answer for {age:.0f} seconds" if age > limit_seconds else ""

    return check
