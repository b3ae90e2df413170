"""The agent's memory: what it must keep, what it must refuse, and what a reorganisation takes."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from node_agent.datasets.own import OwnDatasets
from node_agent.directory import ChainDirectory
from node_agent.folder import AlreadyRunning, DataFolder
from node_agent.policy import Policy
from node_agent.sessions.ports import SessionRecord
from node_agent.store import Store, StoreError
from node_agent.store.ballots import CastBallot
from node_agent.store.chain_log import LoggedEvent
from node_agent.store.datasets import StoredDataset
from node_agent.store.node_keys import NodeKey
from node_agent.store.sessions import StaleGeneration
from node_agent.tables import TableSource
from soterone.chain.cursor import TRAIL_BLOCKS
from soterone.chain.records import BlockRef
from soterone.crypto.accounts import account
from soterone.domain.ids import DatasetId, hash32, query_id
from soterone.domain.masking import ColumnShape, TableShape, mask

QUERY = query_id(b"\x07" * 32)
NODE, OPERATOR = account(b"\x01" * 20), account(b"\x02" * 20)
FIRST_KEY, SECOND_KEY = hash32(b"\x01" * 32), hash32(b"\x02" * 32)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "agent.sqlite3")


def test_ballots_are_forgotten_once_they_can_decide_nothing(store: Store) -> None:
    for epoch in range(10):
        for kind, evidence in ((1, ""), (2, "{}")):
            store.ballots.cast(CastBallot(epoch, NODE, OPERATOR, kind, bytes(32), b"vote", evidence))
    store.ballots.prune(8, 5)
    kept = {(epoch, one.kind) for epoch in range(10) for one in store.ballots.of(epoch, NODE)}
    assert kept == {(5, 2), (6, 2), (7, 2), (8, 1), (8, 2), (9, 1), (9, 2)}


def test_a_session_survives_reopening_with_every_field(tmp_path: Path) -> None:
    record = SessionRecord(QUERY, "running", 1, 2, b"\x00\xff", '{"a": 1}', 4, "It failed.")
    first = Store.open(tmp_path / "agent.sqlite3")
    first.sessions.save_session(record)
    first.close()
    again = Store.open(tmp_path / "agent.sqlite3")
    assert again.sessions.session(QUERY) == record
    assert again.sessions.sessions() == [record]
    again.sessions.delete_session(QUERY)
    assert again.sessions.session(QUERY) is None
    again.close()


def test_generation_and_attempt_never_go_back(store: Store) -> None:
    record = SessionRecord(QUERY, "running", generation=1, attempt=2)
    store.sessions.save_session(record)
    for older in (replace(record, attempt=1), replace(record, generation=0, attempt=9)):
        with pytest.raises(StaleGeneration):
            store.sessions.save_session(older)
    newer = replace(record, generation=2, attempt=0, state="joined")
    store.sessions.save_session(newer)
    assert store.sessions.session(QUERY) == newer


def test_a_store_of_the_version_before_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "agent.sqlite3"
    Store.open(path).close()
    with sqlite3.connect(path) as connection:
        for statement in (
            "DROP TABLE findings",
            "DROP TABLE ballots",
            "ALTER TABLE datasets DROP COLUMN salt",
            "INSERT INTO approvals VALUES ('kept', 'c', 'h', '{}', 'pending', NULL, 'then')",
            "PRAGMA user_version = 1",
        ):
            connection.execute(statement)
    connection.close()
    store = Store.open(path)
    assert [one.id for one in store.approvals.all()] == ["kept"]
    store.findings.save(1, NODE, "{}")
    assert store.findings.get(1, NODE) == "{}"
    assert store.ballots.of(1, NODE) == []
    assert store.datasets.all() == []
    store.close()


def test_the_file_is_the_owners_alone_and_of_one_schema(tmp_path: Path) -> None:
    path = tmp_path / "agent.sqlite3"
    Store.open(path).close()
    assert path.stat().st_mode & 0o777 == 0o600
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="another version"):
        Store.open(path)
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="cannot be read"):
        Store.open(path)


def test_a_transaction_that_raises_leaves_nothing(store: Store) -> None:
    def fail_inside() -> None:
        with store.transaction():
            store.sessions.save_session(SessionRecord(QUERY, "offered"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_inside()
    assert store.sessions.sessions() == []


def test_the_trail_is_bounded_and_newest_first(store: Store) -> None:
    for number in range(TRAIL_BLOCKS + 50):
        store.chain_log.advance(BlockRef(number, hash32(number.to_bytes(32))))
    trail = store.chain_log.trail()
    assert len(trail) == TRAIL_BLOCKS
    assert [ref.number for ref in trail[:2]] == [TRAIL_BLOCKS + 49, TRAIL_BLOCKS + 48]


def test_the_hashes_of_a_height_are_known_after_a_reorganisation_too(store: Store) -> None:
    first, second = hash32(b"\x01" * 32), hash32(b"\x02" * 32)
    for number in (4, 5):
        store.chain_log.advance(BlockRef(number, first))
    assert store.chain_log.hashes_at(5) == {first}
    store.chain_log.rewind(5)
    store.chain_log.advance(BlockRef(5, second))
    assert store.chain_log.hashes_at(5) == {first, second}
    assert store.chain_log.hashes_at(4) == {first}
    assert store.chain_log.hashes_at(6) == set()


def test_what_ended_deep_below_and_is_no_session_any_more_is_forgotten(store: Store) -> None:
    ended, running, kept = (query_id(bytes([one]) * 32) for one in (1, 2, 3))
    events = [(1, ended, "QueryDispatched"), (2, running, "QueryDispatched"), (3, kept, "QueryDispatched")]
    for number, query, name in [*events, (4, ended, "QueryCleanup"), (5, kept, "QueryCleanup")]:
        store.chain_log.append(LoggedEvent(number, 0, query, name, "{}"))
    store.sessions.save_session(SessionRecord(kept, "cleaned"))
    store.chain_log.advance(*(BlockRef(number, FIRST_KEY) for number in range(6, TRAIL_BLOCKS + 6)))
    assert store.chain_log.knows(ended), "not handled yet"
    for event in store.chain_log.unhandled():
        store.chain_log.mark_handled(event)
    store.chain_log.advance(BlockRef(TRAIL_BLOCKS + 6, FIRST_KEY))
    assert [store.chain_log.knows(one) for one in (ended, running, kept)] == [False, True, True]
    store.sessions.delete_session(kept)
    store.chain_log.advance(BlockRef(TRAIL_BLOCKS + 7, FIRST_KEY))
    assert [store.chain_log.knows(one) for one in (ended, running, kept)] == [False, True, False]


def test_what_ended_is_remembered_while_a_reorganisation_may_take_it_back(store: Store) -> None:
    store.chain_log.append(LoggedEvent(7, 0, QUERY, "QueryCleanup", "{}"))
    for event in store.chain_log.unhandled():
        store.chain_log.mark_handled(event)
    for number in (5, 7, 9):
        store.chain_log.advance(BlockRef(number, FIRST_KEY))
    assert store.chain_log.knows(QUERY)


def test_the_directory_shows_active_nodes_only_and_rewinds(store: Store) -> None:
    directory = ChainDirectory(store.node_keys)
    joined = NodeKey(NODE, 5, 0, OPERATOR, 2, 256, 1, FIRST_KEY, suspended=False)
    assert directory.key_hash(NODE) is None
    store.node_keys.append(joined)
    assert directory.key_hash(NODE) == b"\x01" * 32
    assert directory.operator(NODE) == OPERATOR
    store.node_keys.append(replace(joined, block_number=6, tls_key_hash=SECOND_KEY))
    assert directory.key_hash(NODE) == b"\x02" * 32
    assert directory.account_of(b"\x02" * 32) == NODE
    assert directory.account_of(b"\x01" * 32) is None, "a key that was changed opens nothing"
    store.node_keys.append(replace(joined, block_number=7, suspended=True))
    assert (directory.key_hash(NODE), directory.operator(NODE)) == (None, None)
    store.node_keys.append(replace(joined, block_number=8, tls_key_hash=None))
    assert directory.key_hash(NODE) is None
    store.node_keys.rewind(7)
    assert directory.key_hash(NODE) == b"\x02" * 32


def test_two_nodes_with_one_key_are_nobody(store: Store) -> None:
    joined = NodeKey(NODE, 5, 0, OPERATOR, 2, 256, 1, FIRST_KEY, suspended=False)
    store.node_keys.append(joined)
    store.node_keys.append(replace(joined, account=OPERATOR, log_index=1))
    assert ChainDirectory(store.node_keys).account_of(b"\x01" * 32) is None


def dataset(name: str = "patients", published: bool = True) -> StoredDataset:
    shape = TableShape(
        500,
        (ColumnShape("id", "text"), ColumnShape("surname", "text"), ColumnShape("x", "flag")),
        "id",
        "integer",
    )
    metadata = mask(shape, DatasetId("11111111-1111-4111-8111-111111111111"), name)
    columns = {"id": "id", "masked-2": "surname", "x": "x"}
    return StoredDataset(TableSource("csv", "/data/patients.csv"), metadata, columns, published)


def test_sessions_get_published_datasets_without_hidden_columns(store: Store) -> None:
    own = OwnDatasets(store.datasets, lambda: Policy(hidden_columns=["surname"]))
    store.datasets.save(dataset(published=False))
    assert own.dataset(dataset().id) is None
    store.datasets.save(dataset())
    found = own.dataset(dataset().id)
    assert found is not None
    assert dict(found.columns) == {"id": "id", "x": "x"}
    assert [column.name for column in found.metadata.columns] == ["id", "x"]
    store.datasets.delete(dataset().id)
    assert own.dataset(dataset().id) is None


def test_a_folder_holds_one_agent(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    assert not folder.locked()
    with folder.lock():
        assert folder.locked()
        with pytest.raises(AlreadyRunning, match="another soter-node"), folder.lock():
            pass
    assert not folder.locked()
