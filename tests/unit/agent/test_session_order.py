"""An agent compares what the coordinator describes with the chain, and refuses whatever differs."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from fixtures.participants import KnownKeys, Query, new_node, new_query

from node_agent.sessions.order import Order, OrderRefusedError, check_order, check_peers, check_session
from soterone.crypto.accounts import Signer, account_bytes
from soterone.crypto.sealing import ResultKey
from soterone.domain.roles import Role
from soterone.rpc.generated.coordinator_pb2 import SessionDescription

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def query() -> Query:
    return new_query()


def test_the_true_session_passes(query: Query) -> None:
    description = query.description()
    assert check_session(description, query.owners[0].account) == query.spec
    check_order(query.order, description)
    peers = check_peers(description, query.mpcs[0].account, "127.0.0.1", query.directory.key_hash, NOW)
    assert {peer.account for peer in peers} == {node.account for node in query.nodes} - {
        query.mpcs[0].account
    }


def test_an_order_survives_the_store(query: Query) -> None:
    assert Order.from_json(query.order.to_json()) == query.order
    assert query.order.leader == query.mpcs[0].account


def other_spec(description: SessionDescription) -> None:
    description.spec_json = description.spec_json.replace(b'"epochs":10', b'"epochs":11')


def other_customer(description: SessionDescription) -> None:
    description.customer = account_bytes(Signer.new().account)


def other_owner(description: SessionDescription) -> None:
    description.participants[0].account = account_bytes(Signer.new().account)


def other_mpc(description: SessionDescription) -> None:
    description.participants[4].account = account_bytes(Signer.new().account)


def other_key(description: SessionDescription) -> None:
    description.result_key = ResultKey.new().public


def other_query(description: SessionDescription) -> None:
    description.query_id = b"\xcd" * 32


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (other_spec, "spec"),
        (other_customer, "customer"),
        (other_owner, "data owners"),
        (other_mpc, "MPC nodes"),
        (other_key, "result key"),
        (other_query, "query id"),
    ],
)
def test_what_differs_from_the_chain_is_refused(
    query: Query, change: Callable[[SessionDescription], None], named: str
) -> None:
    description = query.description()
    change(description)
    with pytest.raises(OrderRefusedError, match=f"coordinator's {named} differs"):
        check_order(query.order, description)


def spaced(description: SessionDescription) -> None:
    description.spec_json = description.spec_json.replace(b":10,", b": 10,")


def no_spec(description: SessionDescription) -> None:
    description.spec_json = b"[]"


def yaml_bomb(description: SessionDescription) -> None:
    levels = (f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}" for i in range(1, 12))
    description.spec_json = "\n".join(["a0: &a0 {x: 1}", *levels]).encode()


def deep_spec(description: SessionDescription) -> None:
    description.spec_json = b"[" * 20_000


def endless_spec(description: SessionDescription) -> None:
    description.spec_json += b" " * 300_000


def two_mpcs(description: SessionDescription) -> None:
    del description.participants[4]


def twice(description: SessionDescription) -> None:
    description.participants[4].CopyFrom(description.participants[3])


def foreign_dataset(description: SessionDescription) -> None:
    description.participants[0].datasets[0] = "00000000-0000-4000-8000-000000000000"


def weak_key(description: SessionDescription) -> None:
    description.result_key = b"\x09" + description.result_key[1:]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (spaced, "canonical form"),
        (no_spec, "cannot read"),
        (yaml_bomb, "cannot read"),
        (deep_spec, "cannot read"),
        (endless_spec, "more than 262144 bytes"),
        (two_mpcs, "three MPC nodes"),
        (twice, "all different"),
        (foreign_dataset, "exactly one of the spec's datasets"),
        (weak_key, "result key cannot be used"),
    ],
)
def test_a_session_that_makes_no_sense_is_refused(
    query: Query, change: Callable[[SessionDescription], None], sentence: str
) -> None:
    description = query.description()
    change(description)
    with pytest.raises(OrderRefusedError, match=sentence):
        check_session(description, query.owners[1].account)


def test_a_node_that_the_session_does_not_name_refuses(query: Query) -> None:
    with pytest.raises(OrderRefusedError, match="does not name this node"):
        check_session(query.description(), Signer.new().account)


def test_a_certificate_that_is_not_on_chain_is_refused(query: Query) -> None:
    false = new_node(query.authority, Role.MPC_NODE)
    description = query.description()
    description.participants[2].certificate_pem = false.tls.certificate_pem
    with pytest.raises(OrderRefusedError, match="is not the one on chain"):
        check_peers(description, query.owners[0].account, "127.0.0.1", query.directory.key_hash, NOW)


def test_the_certificate_of_another_node_is_refused(query: Query) -> None:
    description = query.description()
    description.participants[2].certificate_pem = query.mpcs[1].tls.certificate_pem
    with pytest.raises(OrderRefusedError, match="is not the one on chain"):
        check_peers(description, query.owners[0].account, "127.0.0.1", query.directory.key_hash, NOW)


def test_an_authority_hidden_behind_the_true_certificate_is_refused(query: Query) -> None:
    description = query.description()
    description.participants[2].certificate_pem += query.authority.ca_pem
    with pytest.raises(OrderRefusedError, match="something beside it"):
        check_peers(description, query.owners[0].account, "127.0.0.1", query.directory.key_hash, NOW)


@pytest.mark.parametrize(
    "endpoint",
    [
        "unix:/run/docker.sock", "unix-abstract:x:80", "dns://evil.example/node:80", "ipv4:10.0.0.1:80", "node", "",
        "node.example:0", "169.254.169.254:80", "[fe80::1]:80", "[::ffff:169.254.169.254]:80", "0.0.0.0:80",
        "127.0.0.1:8545", "localhost:8545", "node.example:80\n",
    ],
)  # fmt: skip
def test_an_endpoint_that_nobody_should_dial_is_refused(query: Query, endpoint: str) -> None:
    description = query.description()
    description.participants[2].endpoint = endpoint
    with pytest.raises(OrderRefusedError, match=r"no host and port|cannot be dialled"):
        check_peers(description, query.owners[0].account, "hospital.example", query.directory.key_hash, NOW)


def test_peers_elsewhere_are_dialled(query: Query) -> None:
    description = query.description()
    for one in description.participants:
        one.endpoint = "node.example:443"
    peers = check_peers(description, query.owners[0].account, "here.example", query.directory.key_hash, NOW)
    assert {peer.endpoint for peer in peers} == {"node.example:443"}


def test_an_expired_certificate_is_refused(query: Query) -> None:
    with pytest.raises(OrderRefusedError, match="valid only until"):
        check_peers(
            query.description(),
            query.owners[0].account,
            "127.0.0.1",
            query.directory.key_hash,
            NOW + timedelta(days=400),
        )


def test_a_node_that_is_not_active_on_chain_is_refused(query: Query) -> None:
    keys = query.directory
    del keys[query.mpcs[2].account]
    with pytest.raises(OrderRefusedError, match="not registered on chain"):
        check_peers(query.description(), query.owners[0].account, "127.0.0.1", keys.key_hash, NOW)
    with pytest.raises(OrderRefusedError, match="not registered on chain"):
        check_peers(query.description(), query.owners[0].account, "127.0.0.1", KnownKeys().key_hash, NOW)
