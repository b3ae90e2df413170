"""The engine's jobs: who links with whom, which columns an owner brings, and which it never does."""

from pathlib import Path

import pytest
from fixtures.participants import LEDGER, Node, Query, new_query, own_dataset

from node_agent.sessions.order import OrderRefusedError
from node_agent.sessions.plan import Engine, Seat, choose_columns, prepare_job, train_job
from node_agent.sessions.ports import OwnDataset, SessionLimits
from node_agent.sessions.roster import RosterError, check_roster, signed_address
from node_agent.sessions.states import Fence
from soterone.domain.failures import FailureReason
from soterone.domain.ids import Account
from soterone.domain.metadata import ColumnMetadata
from soterone.rpc.generated.peer_pb2 import EngineAddress

FENCE = Fence(0, 1)


@pytest.fixture(scope="module")
def query() -> Query:
    return new_query()


def engine_of(node: Node, port: int) -> Engine:
    return Engine(node.account, "127.0.0.1", port, node.tls.certificate_pem.decode())


def hosts_of(query: Query) -> dict[Account, str]:
    return {node.account: "127.0.0.1" for node in query.nodes}


def addresses_of(query: Query, fence: Fence = FENCE) -> list[EngineAddress]:
    return [
        signed_address(node.signer, LEDGER, query.order, fence, engine_of(node, 20000 + i))
        for i, node in enumerate(query.nodes)
    ]


def seat_of(query: Query, node: Node) -> Seat:
    roster = check_roster(LEDGER, query.order, FENCE, hosts_of(query), addresses_of(query))
    return Seat(node.account, query.order, FENCE, "key", roster)


def labelled(query: Query) -> Node:
    return next(node for node in query.owners if node.dataset.metadata.id == query.spec.label.dataset)


def test_owners_link_with_owners_and_mpc_nodes_among_themselves(query: Query) -> None:
    for rank, owner in enumerate(query.owners):
        job = prepare_job(seat_of(query, owner), query.spec, owner.dataset, Path("/x"), 100, SessionLimits())
        assert [party.account for party in job.link.parties] == [node.account for node in query.owners]
        assert (job.link.rank, job.link.attempt) == (rank, 1)
    for rank, mpc in enumerate(query.mpcs):
        training = train_job(seat_of(query, mpc), query.spec, Path("/x"), SessionLimits())
        assert [party.account for party in training.link.parties] == [node.account for node in query.mpcs]
        assert training.link.rank == rank
        assert training.share_files == ("/x/owner-0.share", "/x/owner-1.share")


def test_without_a_list_the_features_are_the_numeric_columns_but_key_and_label(query: Query) -> None:
    first = labelled(query)
    second = next(node for node in query.owners if node is not first)
    assert choose_columns(query.spec, first.dataset).features == ("a", "b")
    assert choose_columns(query.spec, first.dataset).label == "y"
    assert choose_columns(query.spec, second.dataset).features == ("c", "d")
    assert choose_columns(query.spec, second.dataset).label is None


def asking(query: Query, dataset: OwnDataset, *features: str) -> Query:
    spec = query.spec.model_copy(update={"features": {dataset.metadata.id: list(features)}})
    return Query(query.authority, query.owners, query.mpcs, spec)


def test_a_column_that_is_not_published_is_refused_by_name(query: Query) -> None:
    dataset = labelled(query).dataset
    with pytest.raises(OrderRefusedError, match="publishes no column 'salary'") as caught:
        choose_columns(asking(query, dataset, "a", "salary").spec, dataset)
    assert caught.value.reason is FailureReason.BAD_DATA


def test_a_column_whose_name_is_masked_serves_as_key_alone(query: Query) -> None:
    dataset = labelled(query).dataset
    masked = ColumnMetadata(name="column-1", kind="number", masked=True)
    metadata = dataset.metadata.model_copy(update={"columns": (*dataset.metadata.columns, masked)})
    personal = OwnDataset(dataset.source, metadata, {**dataset.columns, "column-1": "ssn"})
    assert "column-1" not in choose_columns(query.spec, personal).features
    with pytest.raises(OrderRefusedError, match="looks personal"):
        choose_columns(asking(query, personal, "column-1").spec, personal)
    by_masked_key = query.spec.model_copy(update={"key": "column-1"})
    assert choose_columns(by_masked_key, personal).key == "ssn"


def test_a_dataset_without_numbers_cannot_take_part(query: Query) -> None:
    empty = own_dataset("empty", ())
    with pytest.raises(OrderRefusedError, match="no numeric column"):
        choose_columns(query.spec, empty)


def test_a_leader_cannot_put_its_own_engine_in_between(query: Query) -> None:
    addresses = addresses_of(query)
    addresses[1].host, addresses[1].port = "127.0.0.1", 4444
    with pytest.raises(RosterError, match="not signed by it"):
        check_roster(LEDGER, query.order, FENCE, hosts_of(query), addresses)
    addresses = addresses_of(query)
    addresses[0].certificate_pem = addresses[4].certificate_pem
    with pytest.raises(RosterError, match="not signed by it"):
        check_roster(LEDGER, query.order, FENCE, hosts_of(query), addresses)


def test_a_node_cannot_send_engines_to_a_third_party(query: Query) -> None:
    for host in ("169.254.169.254", "unix:/run/docker.sock", ""):
        engine = Engine(query.mpcs[1].account, host, 80, query.mpcs[1].tls.certificate_pem.decode())
        addresses = addresses_of(query)
        addresses[3] = signed_address(query.mpcs[1].signer, LEDGER, query.order, FENCE, engine)
        with pytest.raises(RosterError, match="not on the host"):
            check_roster(LEDGER, query.order, FENCE, hosts_of(query), addresses)


def test_addresses_of_another_attempt_are_refused(query: Query) -> None:
    with pytest.raises(RosterError, match="not signed by it for this attempt"):
        check_roster(LEDGER, query.order, Fence(0, 2), hosts_of(query), addresses_of(query))


@pytest.mark.parametrize("keep", [slice(0, 4), slice(0, 0)])
def test_a_roster_names_each_participant_once(query: Query, keep: slice) -> None:
    addresses = addresses_of(query)[keep]
    with pytest.raises(RosterError, match="each participant once"):
        check_roster(LEDGER, query.order, FENCE, hosts_of(query), addresses)
    with pytest.raises(RosterError, match="each participant once"):
        check_roster(
            LEDGER, query.order, FENCE, hosts_of(query), [*addresses_of(query), *addresses_of(query)[:1]]
        )


def test_nonsense_in_a_roster_is_refused(query: Query) -> None:
    for change in (
        {"port": 70000},
        {"account": b"x"},
        {"signature": b""},
        {"certificate_pem": b"nonsense"},
    ):
        addresses = addresses_of(query)
        for name, value in change.items():
            setattr(addresses[2], name, value)
        with pytest.raises(RosterError):
            check_roster(LEDGER, query.order, FENCE, hosts_of(query), addresses)
