"""Finds the nodes behind the certificates of callers: all who ask while one query runs share the next one.

After a restart thousands come at once; a query each would keep the last of them waiting for half a minute.
"""

import asyncio
from dataclasses import dataclass

from coordinator.database import Database
from coordinator.nodes import repository
from coordinator.nodes.repository import KnownNode
from soterone.domain.ids import Hash32

_KEYS_A_QUERY = 500


@dataclass(frozen=True, slots=True)
class _Question:
    key_hash: Hash32
    answer: asyncio.Future[KnownNode | None]


class Callers:
    """One a server; keeps nothing, so that a node that was suspended is refused at its next call."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._asked: list[_Question] = []
        self._asking: asyncio.Task[None] | None = None

    async def find(self, key_hash: Hash32) -> KnownNode | None:
        """Return the node that registered this TLS key, None when none did."""
        question = _Question(key_hash, asyncio.get_running_loop().create_future())
        self._asked.append(question)
        if self._asking is None:
            self._asking = asyncio.create_task(self._answer_all())
        return await question.answer

    async def _answer_all(self) -> None:
        try:
            while self._asked:
                asked, self._asked = self._asked[:_KEYS_A_QUERY], self._asked[_KEYS_A_QUERY:]
                await self._answer(asked)
        finally:
            self._asking = None

    async def _answer(self, asked: list[_Question]) -> None:
        try:
            async with self._database.reading() as session:
                known = await repository.by_key_hashes(session, {question.key_hash for question in asked})
        except Exception as error:
            for question in asked:
                if not question.answer.done():
                    question.answer.set_exception(error)
            return
        for question in asked:
            if not question.answer.done():
                question.answer.set_result(known.get(question.key_hash))
