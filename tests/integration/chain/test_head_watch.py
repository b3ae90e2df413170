"""The watch for new heads ends when it is told to, also in the very moment when it hears something."""

import asyncio

from websockets.asyncio.server import ServerConnection, serve

from soterone.chain.head_watch import HeadWatch

ANSWER = '{"jsonrpc": "2.0", "id": 1, "result": "0x1"}'
TURNS = 40


async def test_a_cancellation_together_with_the_answer_ends_the_watch() -> None:
    answered = asyncio.Event()

    async def answer(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send(ANSWER)
        answered.set()
        await connection.wait_closed()

    async with serve(answer, "127.0.0.1", 0, close_timeout=1) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for turns in range(TURNS):
            answered.clear()
            watching = asyncio.create_task(HeadWatch(url, lambda: None).run())
            await answered.wait()
            for _ in range(turns):
                await asyncio.sleep(0)
            watching.cancel()
            ended, _ = await asyncio.wait((watching,), timeout=5)
            assert ended, f"it went on, cancelled {turns} turns of the loop after the answer"
