"""ABI decoding: refusals in the shapes of different nodes, sentences, and damaged logs."""

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from soterone.chain.codec import encode_call, event_codecs, revert, snake_case
from soterone.chain.errors import ChainUnreachableError, RevertedError, RpcError
from soterone.chain.events import Event, NodeSuspended, QueryCleanup, decode
from soterone.chain.json_rpc import JsonRpc, result_of

QUERY = b"\xab" * 32
WRONG_STATUS = keccak(text="QueryLedgerWrongStatus(bytes32,uint8)")[:4] + encode(
    ["bytes32", "uint8"], [QUERY, 2]
)


def log(topics: list[bytes], data: bytes = b"") -> dict[str, object]:
    return {
        "topics": [f"0x{one.hex()}" for one in topics],
        "data": f"0x{data.hex()}",
        "blockNumber": "0x10",
        "logIndex": "0x2",
        "blockHash": "0x" + "01" * 32,
        "transactionHash": "0x" + "02" * 32,
    }


@pytest.mark.parametrize(
    "data",
    [
        f"0x{WRONG_STATUS.hex()}",
        {"data": f"0x{WRONG_STATUS.hex()}"},
        f"Reverted 0x{WRONG_STATUS.hex()}",
        WRONG_STATUS.hex(),
    ],
)
def test_revert_data_is_found_wherever_nodes_put_it(data: object) -> None:
    answer = {"id": 1, "error": {"code": -32000, "message": "execution failed", "data": data}}
    with pytest.raises(RevertedError) as refused:
        result_of("eth_call", answer, "here")
    assert refused.value.name == "QueryLedgerWrongStatus"
    assert refused.value.arguments == {"query_id": "0x" + "ab" * 32, "status": 2}


def test_a_plain_reason_and_a_panic_are_read() -> None:
    plain = revert(keccak(text="Error(string)")[:4] + encode(["string"], ["not today"]))
    assert (plain.name, plain.sentence) == ("Error", "The contract refused the call: not today.")
    panic = revert(keccak(text="Panic(uint256)")[:4] + encode(["uint256"], [0x11]))
    assert (panic.name, panic.arguments) == ("Panic", {"code": 0x11})


@pytest.mark.parametrize("data", [b"", b"\x01", b"\xde\xad\xbe\xef", WRONG_STATUS[:30]])
def test_unknown_and_damaged_revert_data_still_make_a_sentence(data: bytes) -> None:
    refusal = revert(data, "execution reverted")
    assert refusal.name == ""
    assert refusal.sentence.startswith("The contract refused the call")


def test_a_reverting_answer_without_data_is_a_refusal_and_others_are_not() -> None:
    with pytest.raises(RevertedError):
        result_of("eth_call", {"error": {"code": 3, "message": "execution reverted"}}, "here")
    with pytest.raises(RpcError) as refused:
        result_of("eth_getLogs", {"error": {"code": -32005, "message": "too many results"}}, "here")
    assert refused.value.code == -32005


@pytest.mark.parametrize("answer", [None, [], "hello", {}, {"id": 1}])
def test_what_is_no_json_rpc_answer_counts_as_unreachable(answer: object) -> None:
    with pytest.raises(ChainUnreachableError, match="no JSON-RPC answer"):
        result_of("eth_call", answer, "here")


async def test_an_endpoint_is_shown_without_user_path_and_query() -> None:
    rpc = JsonRpc("https://user:pass@node.example:8545/v3/key?token=x")
    assert rpc.endpoint == "https://node.example:8545"
    await rpc.close()


def test_every_event_class_is_an_event_of_the_contracts() -> None:
    names = {codec.name for codec in event_codecs().values()}
    assert {kind.__name__ for kind in Event.__subclasses__()} <= names


def test_every_event_class_has_the_fields_of_its_event_in_order() -> None:
    kinds = {kind.__name__: kind for kind in Event.__subclasses__()}
    for codec in event_codecs().values():
        if codec.name in kinds:
            fields = list(kinds[codec.name].__dataclass_fields__)[1:]
            assert sorted(fields) == sorted(name for name, _ in (*codec.indexed, *codec.plain))


def test_a_log_becomes_its_event() -> None:
    event = QueryCleanup.from_log(log([keccak(text="QueryCleanup(bytes32)"), QUERY]), 31337)
    assert event.query_id == "0x" + "ab" * 32
    position = event.position
    assert (position.chain_id, position.block_number, position.log_index) == (31337, 16, 2)


def test_other_events_are_none_and_damaged_ones_an_error() -> None:
    assert decode(log([keccak(text="Transfer(address,address,uint256)")]), 1) is None
    assert decode(log([keccak(text="Paused(address)")], b"\0" * 32), 1) is None
    assert decode(log([]), 1) is None
    with pytest.raises(ValueError, match="topics"):
        decode(log([keccak(text="QueryCleanup(bytes32)")]), 1)
    with pytest.raises(ValueError, match="do not fit"):
        decode(log([keccak(text="NodeSuspended(address,bool)"), b"\0" * 32], b"\x01"), 1)
    with pytest.raises(ValueError, match="no NodeSuspended"):
        NodeSuspended.from_log(log([keccak(text="QueryCleanup(bytes32)"), QUERY]), 1)


def test_names_and_calls() -> None:
    assert snake_case("profileHash") == "profile_hash"
    assert snake_case("QueryLedgerTooFewShares") == "query_ledger_too_few_shares"
    assert encode_call("QueryLedger", "cleanup", QUERY) == keccak(text="cleanup(bytes32)")[:4] + QUERY
