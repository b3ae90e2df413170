"""How an order follows replacements, and that a successor is drawn as the chain says or not worked with."""

import asyncio
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from fixtures.participants import new_query
from fixtures.scripted_chain import SEED_BLOCK, VERSION, ScriptedChain, replacement, seed

from node_agent.sessions import draw
from node_agent.sessions.backoff import Backoff
from node_agent.sessions.draw import check_draw
from node_agent.sessions.order import Order, OrderRefusedError
from soterone.chain.events import MPCUpdated
from soterone.chain.records import NodeRecord, NodeStatus
from soterone.crypto.accounts import Signer
from soterone.domain.ids import Account

ORDER = new_query().order
SPARES = [Signer.new().account for _ in range(4)]


def event(
    generation: int = 1, old: Account = ORDER.mpcs[1], seed_block: int = SEED_BLOCK, **changes: object
) -> MPCUpdated:
    return replace(replacement(ORDER.query_id, old, SPARES, generation, seed_block), **changes)


def context(chain: ScriptedChain | None = None) -> SimpleNamespace:
    return SimpleNamespace(
        chain=chain or ScriptedChain(),
        backoff=Backoff(0.01, 0.01),
        clock=time.monotonic,
        seen_hashes=lambda number: set(),
    )


def test_a_successor_takes_the_rank_and_the_lowest_of_the_present_trio_leads() -> None:
    announced = event(old=ORDER.mpcs[0])
    following = ORDER.replaced(announced)
    assert following.mpcs == (announced.new_mpc, *ORDER.mpcs[1:])
    assert (following.generation, following.lost) == (1, (ORDER.mpcs[0],))
    assert following.leader == min(following.mpcs, key=str.lower)
    assert Order.from_json(following.to_json()) == following


@pytest.mark.parametrize(
    "wrong",
    [
        event(generation=2),
        event(generation=0),
        event(old=SPARES[0]),
        event(new_mpc=ORDER.mpcs[2]),
        event(new_mpc=ORDER.owners[0]),
    ],
)
def test_what_does_not_follow_is_no_replacement(wrong: MPCUpdated) -> None:
    with pytest.raises(ValueError, match="does not follow"):
        ORDER.replaced(wrong)


def test_a_lost_node_never_comes_back() -> None:
    following = ORDER.replaced(event())
    with pytest.raises(ValueError, match="does not follow"):
        following.replaced(event(generation=2, old=ORDER.mpcs[0], new_mpc=ORDER.mpcs[1]))


async def test_the_true_draw_passes() -> None:
    await check_draw(context(), ORDER.replaced(event()), VERSION)
    await check_draw(context(), ORDER, VERSION)


async def test_another_successor_is_refused() -> None:
    announced = event()
    for other in {*SPARES, Signer.new().account} - {announced.new_mpc}:
        with pytest.raises(OrderRefusedError, match="is not the one that the seed of block 8 draws"):
            await check_draw(context(), ORDER.replaced(replace(announced, new_mpc=other)), VERSION)


@pytest.mark.parametrize("seed_block", [0, ORDER.dispatched_block, 10, 11])
async def test_a_seed_that_somebody_could_choose_is_refused(seed_block: int) -> None:
    with pytest.raises(OrderRefusedError, match="not of the time of the loss"):
        await check_draw(context(), ORDER.replaced(event(seed_block=seed_block)), VERSION)


@pytest.mark.parametrize("candidates", [(), tuple(Signer.new().account for _ in range(17))])
async def test_a_draw_among_none_or_too_many_is_refused(candidates: tuple[Account, ...]) -> None:
    with pytest.raises(OrderRefusedError, match="candidates"):
        await check_draw(context(), ORDER.replaced(event(candidates=candidates)), VERSION)


@pytest.mark.parametrize(
    "intruder",
    [SPARES[0], ORDER.owners[0], ORDER.mpcs[0], ORDER.mpcs[1]],
    ids=["twice", "owner", "mpc", "lost"],
)
async def test_nobody_stands_twice_among_the_candidates_or_took_part_already(intruder: Account) -> None:
    announced = replacement(ORDER.query_id, ORDER.mpcs[1], [*SPARES, intruder])
    if announced.new_mpc == intruder:
        announced = replace(announced, new_mpc=SPARES[1])
    with pytest.raises(OrderRefusedError, match="stand twice or took part"):
        await check_draw(context(), ORDER.replaced(announced), VERSION)


async def test_a_candidate_that_is_no_active_mpc_node_is_refused() -> None:
    class Suspending(ScriptedChain):
        async def node_of(self, node: Account, block_number: int | None = None) -> NodeRecord:
            known = await ScriptedChain.node_of(self, node, block_number)
            return replace(known, status=NodeStatus.SUSPENDED) if node == SPARES[2] else known

    with pytest.raises(OrderRefusedError, match="no active MPC node"):
        await check_draw(context(Suspending()), ORDER.replaced(event()), VERSION)


async def test_a_seed_of_long_ago_is_refused() -> None:
    announced = event()
    late = replace(announced, position=replace(announced.position, block_number=SEED_BLOCK + 257))
    with pytest.raises(OrderRefusedError, match="not of the time of the loss"):
        await check_draw(context(), ORDER.replaced(late), VERSION)


async def test_candidates_older_than_the_query_asks_for_are_refused() -> None:
    with pytest.raises(OrderRefusedError, match="None of the announced candidates"):
        await check_draw(context(), ORDER.replaced(event()), VERSION + 1)


async def test_an_rpc_that_lags_is_asked_again_and_one_that_never_knows_refuses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chain = ScriptedChain(last_block=3)
    checking = asyncio.create_task(check_draw(context(chain), ORDER.replaced(event()), VERSION))
    await asyncio.sleep(0.05)
    assert not checking.done()
    chain.last_block = 100
    await checking
    monkeypatch.setattr(draw, "DRAW_PATIENCE_SECONDS", 0.0)
    chain.last_block = 3
    with pytest.raises(OrderRefusedError, match="does not give the state of block 8"):
        await check_draw(context(chain), ORDER.replaced(event()), VERSION)


async def test_after_a_reorganisation_the_draw_by_a_hash_that_was_seen_passes_too() -> None:
    earlier = [event(seed_block=number) for number in range(100, 140)]
    other = next(one.new_mpc for one in earlier if one.new_mpc != event().new_mpc)
    order = ORDER.replaced(event(new_mpc=other))
    seen = {seed(one.seed_block) for one in earlier if one.new_mpc == other}
    with pytest.raises(OrderRefusedError):
        await check_draw(context(), order, VERSION)
    reorganised = context()
    reorganised.seen_hashes = lambda number: seen if number == order.drawn.seed_block else set()
    await check_draw(reorganised, order, VERSION)
