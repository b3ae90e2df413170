"""The policy: each rule alone, and what the gate makes of files, chain and approvals."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node_agent.directory import ChainDirectory
from node_agent.policy import Policy, PolicyRequest, decide
from node_agent.policy_gate import DEFAULT_POLICY, PolicyError, PolicyGate, read_policy
from node_agent.store import Store
from node_agent.store.chain_log import LoggedEvent
from node_agent.store.node_keys import NodeKey
from soterone.crypto.accounts import account, account_bytes
from soterone.domain.ids import Account, hash32, query_id
from soterone.domain.spec import QuerySpec
from soterone.rpc.generated.coordinator_pb2 import Participant, SessionDescription

OWN_DATASET = "11111111-1111-4111-8111-111111111111"
OTHER_DATASET = "22222222-2222-4222-8222-222222222222"
QUERY = query_id(b"\x07" * 32)


def who(number: int) -> Account:
    return account(number.to_bytes(20))


OWN, CUSTOMER, OTHER_OWNER = who(1), who(2), who(3)
MPCS = (who(11), who(12), who(13))
OPERATORS = (who(21), who(22), who(23))


def spec(**changes: object) -> QuerySpec:
    document = {
        "name": "risk",
        "algorithm": "vertical-logistic-regression",
        "datasets": [OWN_DATASET, OTHER_DATASET],
        "label": {"dataset": OWN_DATASET, "column": "y"},
    }
    return QuerySpec.model_validate({**document, **changes})


REQUEST = PolicyRequest(CUSTOMER, spec(), OPERATORS, OWN, {OWN_DATASET: {"y": "y", "masked-3": "surname"}})


def refused(policy: Policy, request: PolicyRequest = REQUEST) -> str:
    verdict = decide(policy, request)
    assert not verdict.accepted
    return verdict.sentence


def test_the_default_policy_file_is_the_default_policy_and_accepts(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(DEFAULT_POLICY)
    assert read_policy(file) == Policy()
    assert decide(Policy(), REQUEST).accepted


def test_customers_purposes_and_algorithms_are_lists_or_anything() -> None:
    assert decide(Policy(customers=[CUSTOMER.lower()]), REQUEST).accepted
    assert "list" in refused(Policy(customers=[OTHER_OWNER]))
    assert "serves audit" in refused(Policy(purposes=["audit"]))
    assert "runs none at present" in refused(Policy(algorithms=[]))


def test_small_batches_are_refused_by_owners_only() -> None:
    small = replace(REQUEST, spec=spec(training={"batch_size": 63}))
    assert "at least 64" in refused(Policy(), small)
    assert decide(Policy(), replace(small, own_datasets={})).accepted


@given(st.sets(st.sampled_from([*OPERATORS, who(99)])))
def test_an_owner_uploads_only_with_two_accepted_operators(accepted: set[Account]) -> None:
    verdict = decide(Policy(accepted_mpc_operators=sorted(accepted)), REQUEST)
    assert verdict.accepted == (len(accepted & set(OPERATORS)) >= 2)


def test_its_own_operator_counts_as_accepted_and_an_unknown_one_does_not() -> None:
    policy = Policy(accepted_mpc_operators=[OPERATORS[0]])
    own = replace(REQUEST, mpc_operators=(OPERATORS[0], OWN, OPERATORS[2]))
    assert decide(policy, own).accepted
    assert "at least two of the three" in refused(policy, replace(REQUEST, mpc_operators=(OPERATORS[0],)))


@pytest.mark.parametrize(
    ("hidden", "changes"),
    [
        ("y", {}),
        ("x", {"features": {OWN_DATASET: ["x"]}}),
        ("surname", {"features": {OWN_DATASET: ["masked-3"]}}),
        ("patient", {"key": {OWN_DATASET: "patient", OTHER_DATASET: "id"}}),
    ],
)
def test_a_hidden_column_is_lent_in_no_use_and_under_neither_name(
    hidden: str, changes: dict[str, object]
) -> None:
    assert "does not lend" in refused(Policy(hidden_columns=[hidden]), replace(REQUEST, spec=spec(**changes)))


def test_a_hidden_name_of_another_owners_dataset_is_no_concern() -> None:
    other = replace(REQUEST, spec=spec(features={OTHER_DATASET: ["x"]}))
    assert decide(Policy(hidden_columns=["x"]), other).accepted


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.open(tmp_path / "agent.sqlite3")
    for position, (node, operator) in enumerate(zip(MPCS, OPERATORS, strict=True)):
        store.node_keys.append(
            NodeKey(node, 1, position, operator, 2, 256, 1, hash32(bytes([position]) * 32), False)
        )
    return store


def description(
    customer: Account = CUSTOMER, asked: QuerySpec | None = None, query: str = QUERY
) -> SessionDescription:
    roles = [(OWN, 1, [OWN_DATASET]), (OTHER_OWNER, 1, [OTHER_DATASET]), *((node, 2, []) for node in MPCS)]
    return SessionDescription(
        query_id=bytes.fromhex(query[2:]),
        customer=account_bytes(customer),
        spec_json=(asked or spec()).canonical(),
        participants=[
            # The coordinator lies about operators: it gives every node an accepted one.
            Participant(
                account=account_bytes(node),
                role=role,
                datasets=datasets,
                operator=account_bytes(OPERATORS[0]),
            )
            for node, role, datasets in roles
        ],
    )


def gate(store: Store, tmp_path: Path, policy: str) -> PolicyGate:
    (tmp_path / "policy.yaml").write_text(policy)
    return PolicyGate(tmp_path / "policy.yaml", store, ChainDirectory(store.node_keys), OWN)


def test_operators_are_the_chains_not_the_coordinators(store: Store, tmp_path: Path) -> None:
    accepted = gate(store, tmp_path, f"accepted_mpc_operators: ['{OPERATORS[0]}']")
    assert not accepted.verdict(description()).accepted
    two = gate(store, tmp_path, f"accepted_mpc_operators: ['{OPERATORS[0]}', '{OPERATORS[1]}']")
    assert two.verdict(description()).accepted
    store.node_keys.append(NodeKey(MPCS[0], 2, 0, OPERATORS[0], 2, 256, 1, None, False))
    assert not two.verdict(description()).accepted


@pytest.mark.parametrize("text", ["minimum_batch: 0", "customers: [nobody]", "typo: 1", "a: [", "- any"])
def test_a_broken_policy_refuses_everything_and_heals_without_a_restart(
    store: Store, tmp_path: Path, text: str
) -> None:
    broken = gate(store, tmp_path, text)
    with pytest.raises(PolicyError, match="policy"):
        read_policy(tmp_path / "policy.yaml")
    assert not broken.verdict(description()).accepted
    (tmp_path / "policy.yaml").write_text(DEFAULT_POLICY)
    assert broken.verdict(description()).accepted


def test_a_spec_that_cannot_be_read_is_refused_with_its_reason(store: Store, tmp_path: Path) -> None:
    bad = description()
    bad.spec_json = b'{"name": 1}'
    verdict = gate(store, tmp_path, DEFAULT_POLICY).verdict(bad)
    assert not verdict.accepted
    assert "name" in verdict.sentence


def test_a_manual_approval_serves_one_query(store: Store, tmp_path: Path) -> None:
    manual = gate(store, tmp_path, "manual_approval: true")
    first, second = query_id(b"\x01" * 32), query_id(b"\x02" * 32)
    waiting = manual.verdict(description(query=first))
    assert not waiting.accepted
    (approval,) = store.approvals.all()
    assert approval.id in waiting.sentence
    assert not manual.verdict(description(query=second)).accepted
    assert len(store.approvals.all()) == 1

    assert store.approvals.answer(approval.id, "approved")
    assert manual.verdict(description(query=first)).accepted
    assert manual.verdict(description(query=second)).accepted, "an offer alone does not use the approval up"

    store.chain_log.append(LoggedEvent(5, 0, second, "QueryDispatched", "{}"))
    for _ in range(2):
        assert manual.verdict(description(query=second)).accepted, "the order uses it, and may be asked again"
    assert not manual.verdict(description(query=first)).accepted, "another query needs another approval"
    (again,) = store.approvals.all()
    assert again.state == "pending"


def test_a_denied_order_stays_denied_and_another_spec_is_another_order(store: Store, tmp_path: Path) -> None:
    manual = gate(store, tmp_path, "manual_approval: true")
    manual.verdict(description())
    (approval,) = store.approvals.all()
    store.approvals.answer(approval.id, "denied")
    assert "refused" in manual.verdict(description()).sentence
    assert "queued" in manual.verdict(description(asked=spec(name="other"))).sentence
    assert "queued" in manual.verdict(description(customer=OTHER_OWNER)).sentence


def test_what_the_policy_refuses_is_never_queued(store: Store, tmp_path: Path) -> None:
    strict = gate(store, tmp_path, "manual_approval: true\npurposes: [audit]")
    assert "audit" in strict.verdict(description()).sentence
    assert store.approvals.all() == []


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_order_of_participants_changes_nothing(
    store: Store, tmp_path: Path, order: tuple[int, ...]
) -> None:
    shuffled = description()
    mpcs = list(shuffled.participants[2:])
    del shuffled.participants[2:]
    shuffled.participants.extend(mpcs[i] for i in order)
    assert gate(store, tmp_path, DEFAULT_POLICY).verdict(shuffled).accepted
