"""What the chain says of a query, folded from its logs."""

import json
from typing import Any

from coordinator.chain.projection import OnChain, fold
from coordinator.models.chain import ChainLog
from soterone.chain.calls import NOBODY
from soterone.domain.lifecycle import Stage

NODE = "0x" + "1" * 40


def log(name: str, number: int, **data: Any) -> ChainLog:
    return ChainLog(
        chain_id=1,
        block_hash=f"0xb{number}",
        transaction_hash=f"0x{number}",
        log_index=0,
        block_number=number,
        block_time=number,
        name=name,
        query_id="0xq",
        data_json=json.dumps(data),
    )


def test_nothing_is_nothing() -> None:
    assert fold([]) == OnChain()


def test_a_whole_life() -> None:
    life = [
        log("QuerySubmitted", 1),
        log("QueryDispatched", 1),
        log("QueryCompleted", 2, result_hash="0xr", generation=0),
        log("QueryCleanup", 3),
        log("QuerySettled", 4, nodes=[NODE], observations=[100]),
        log("FeedbackGiven", 5, nodes=[NODE], ratings=[80]),
    ]
    state = fold(life)
    assert (state.dispatched_tx, state.end, state.end_tx, state.end_block) == (
        "0x1",
        Stage.COMPLETED,
        "0x2",
        2,
    )
    assert (state.result_hash, state.cleanup_tx, state.settled) == ("0xr", "0x3", True)
    assert state.ratings == {NODE: 80}
    assert fold(life[:2]) == OnChain(dispatched_tx="0x1")


def test_a_failure_names_its_node_and_a_cancellation_is_one() -> None:
    failed = fold([log("QueryDispatched", 1), log("QueryFailed", 2, reason=10, node=NODE)])
    assert (failed.end, failed.reason, failed.node) == (Stage.FAILED, 10, NODE)
    cancelled = fold([log("QueryDispatched", 1), log("QueryFailed", 2, reason=6, node=NOBODY)])
    assert (cancelled.end, cancelled.reason, cancelled.node) == (Stage.CANCELLED, 6, None)
