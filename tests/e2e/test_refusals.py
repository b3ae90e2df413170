"""What every bad proposal and request gets over REST: a status, a sentence that says what to do, nothing half-done."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hospitals import Hospitals, refused

from soterone.client.customer import Customer
from soterone.client.errors import ClientError
from soterone.crypto.accounts import Signer
from soterone.crypto.siwe import sign_in_digest
from soterone.domain.metadata import ColumnMetadata, DatasetMetadata
from soterone.domain.spec import QuerySpec
from soterone.rpc.generated import coordinator_pb2 as pb

NOWHERE = "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"algorithm": "oracle"}, 422, ("unknown algorithm 'oracle'", "vertical-logistic-regression")),
        ({"datasets": ["{clinic}", NOWHERE]}, 404, (NOWHERE, "catalog")),
        ({"datasets": ["{clinic}", "clinic patients"]}, 422, ("datasets.1", "id")),
        ({"datasets": ["{clinic}", "{archive}"]}, 409, ("data owner", "offline", "try again later")),
        ({"label": {"dataset": "{clinic}", "column": "benign"}}, 422, ("'benign'", "name one of its columns")),
        ({"label": {"dataset": "{clinic}", "column": "radius"}}, 422, ("'radius'", "not binary", "0 and 1")),
        ({"features": {"{clinic}": ["ward"]}}, 422, ("'ward'", "text", "leave it out")),
        ({"features": {"{clinic}": ["malignant"]}}, 422, ("'malignant'", "label", "cannot be a feature")),
        ({"key": "texture"}, 422, ("'texture'", "not the key", "set key")),
        ({"training": {"epochs": 0}}, 422, ("training.epochs", "greater than or equal to 1")),
        ({"training": {"learning_rate": "fast"}}, 422, ("training.learning_rate", "number")),
        ({"secret": 1}, 422, ("secret", "not permitted")),
        ({"mpc": {"minimum_version": "9.9.9"}}, 409, ("3 MPC nodes", "9.9.9", "0 can take part", "try again")),
        ({"mpc": {"nodes": ["{ada}", "{bela}"]}}, 422, ("name three different nodes",)),
        ({"mpc": {"nodes": ["{ada}", "{bela}", "{archive_account}"]}}, 409, ("not registered as MPC node",)),
        ({"mpc": {"nodes": ["{ada}", "{bela}", "{nobody}"]}}, 409, ("not a registered node", "choose another")),
    ],
)  # fmt: skip
def test_a_proposal_that_does_not_fit(
    hospitals: Hospitals, customer: Customer, changes: dict[str, Any], status: int, words: tuple[str, ...]
) -> None:
    names = {name: hospitals.account(name) for name in ("ada", "bela")}
    names |= {"archive_account": hospitals.account("archive"), "nobody": Signer.new().account}
    filled = _filled(changes, {**names, **hospitals.datasets})
    refused(hospitals.propose(customer, **filled), status, *words)
    assert hospitals.left_behind() == []


def _filled(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, str):
        return value.format(**names)
    if isinstance(value, dict):
        return {_filled(name, names): _filled(one, names) for name, one in value.items()}
    return [_filled(one, names) for one in value] if isinstance(value, list) else value


def test_the_sdk_stops_at_a_dataset_that_is_not_there(hospitals: Hospitals, customer: Customer) -> None:
    spec = QuerySpec.model_validate(hospitals.spec(datasets=[hospitals.datasets["clinic"], NOWHERE]))
    with pytest.raises(ClientError, match=f"{NOWHERE} is not in the catalog: unknown or withdrawn"):
        customer.submit(spec)


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (b"{", 422, "JSON"),
        (b"[" * 100_000, 422, "nested too deeply"),
        (b'{"spec": "\\u0000"}', 422, "control"),
        (b'{"spec": "\xff"}', 422, "UTF-8"),
        (b"{}", 422, "spec"),
        (b" " * (1 << 20) + b"{}", 413, "at most 1048576 bytes"),
    ],
    ids=["cut short", "deep", "control character", "no text", "empty", "oversized"],
)
def test_a_body_that_cannot_be_read(
    hospitals: Hospitals, customer: Customer, content: bytes, status: int, words: str
) -> None:
    refused(hospitals.post(customer, "queries/proposals", content=content), status, words)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"customers": ["0x" + "11" * 20]}, "customers on its list, and you are not on it"),
        ({"purposes": ["care"]}, "does not serve the purpose 'research'; it serves care"),
        ({"algorithms": ["oracle"]}, "does not run 'vertical-logistic-regression'; it runs oracle"),
        ({"minimum_batch": 128}, "training.batch_size of at least 128"),
        ({"accepted_mpc_operators": ["0x" + "22" * 20]}, "at least two of the three MPC nodes"),
        ({"hidden_columns": ["texture"]}, "'texture', or its owner does not lend it"),
        ({"manual_approval": True}, "A person must approve"),
        ("customers: [", "policy cannot be read at present"),
    ],
    ids=["customers", "purposes", "algorithms", "batch", "operators", "hidden", "approval", "broken"],
)
def test_an_owner_whose_policy_refuses(
    hospitals: Hospitals, customer: Customer, rules: dict[str, Any] | str, words: str
) -> None:
    laboratory = hospitals.datasets["laboratory"]
    with hospitals.policy("laboratory", rules):
        answer = hospitals.propose(customer, features={laboratory: ["texture"]})
        refused(answer, 409, f"node {hospitals.account('laboratory')} refused the query", words)
    assert hospitals.left_behind() == []


def test_mpc_nodes_that_refuse_are_named_with_their_reason(hospitals: Hospitals, customer: Customer) -> None:
    with hospitals.policy("ada", {"purposes": ["care"]}):
        sentence = refused(hospitals.propose(customer), 409, "2 can take part now", "it serves care")
    assert hospitals.account("ada") in sentence
    assert hospitals.left_behind() == []


async def test_not_enough_capacity(hospitals: Hospitals, customer: Customer) -> None:
    """Tables that are said to be enormous fit nobody's memory."""
    huge = {
        name: _metadata(number, rows_below=10**11) for number, name in enumerate(("clinic", "laboratory"))
    }
    clinic, laboratory = huge["clinic"].id, huge["laboratory"].id
    async with _published(hospitals, huge):
        both = {"datasets": [clinic, laboratory], "label": {"dataset": clinic, "column": "flag"}}
        refused(hospitals.propose(customer, **both), 409, "0 can take part now; 3 more have no capacity left")
        one = {**both, "datasets": [clinic, hospitals.datasets["laboratory"]]}
        answer = hospitals.propose(customer, **one)
        refused(answer, 409, hospitals.account("clinic"), "bytes of memory left", "choose another node")
        assert int(answer.headers["retry-after"]) > 0
    refused(hospitals.propose(customer, **both), 409, f"dataset {clinic} was withdrawn by its owner")
    assert hospitals.left_behind() == []


def _metadata(number: int, rows_below: int) -> DatasetMetadata:
    columns = (
        ColumnMetadata(name="id", kind="key", key_kind="integer"),
        ColumnMetadata(name="flag", kind="flag"),
        ColumnMetadata(name="size", kind="number", range_low=0, range_high=1),
    )
    return DatasetMetadata(
        id=f"00000000-0000-4000-8000-00000000001{number}",
        name="enormous",
        rows_at_least=rows_below // 2,
        rows_below=rows_below,
        columns=columns,
    )


@asynccontextmanager
async def _published(hospitals: Hospitals, metadata: dict[str, DatasetMetadata]) -> AsyncIterator[None]:
    """Publish metadata as their owners, past `soter-node`, and withdraw them again."""
    for name, one in metadata.items():
        async with hospitals.agents_service(hospitals.identity(name)) as agents:
            await agents.PublishDataset(pb.PublishDatasetRequest(metadata_json=one.model_dump_json()))
    try:
        yield
    finally:
        for name, one in metadata.items():
            async with hospitals.agents_service(hospitals.identity(name)) as agents:
                await agents.WithdrawDataset(pb.WithdrawDatasetRequest(dataset_id=one.id))


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "queries"), ("POST", "queries/proposals"), ("POST", "queries"), ("DELETE", "account")],
)
def test_nobody_orders_without_signing_in(hospitals: Hospitals, method: str, path: str) -> None:
    answer = hospitals.request(method, path, None)
    refused(answer, 401, "sign in first")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_sign_in_by_somebody_else(hospitals: Hospitals) -> None:
    wallet, other = Signer.new(), Signer.new()
    nonce = hospitals.request("POST", "auth/nonce", None, json={"account": wallet.account}).json()
    signature = other.sign(sign_in_digest(nonce["message"]))
    body = {"message": nonce["message"], "signature": f"0x{signature.hex()}"}
    refused(
        hospitals.request("POST", "auth/verify", None, json=body), 401, "not by the account", "ask for a new"
    )


def test_other_peoples_queries_do_not_exist(hospitals: Hospitals, customer: Customer) -> None:
    proposal = hospitals.propose(customer).json()
    query = proposal["query_id"]
    signature = {"signature": "0x" + "00" * 65}
    feedback = {"nodes": proposal["order"]["mpcs"], "ratings": [100] * 3, "deadline": 2**33, **signature}
    with hospitals.customer() as stranger:
        calls = [
            ("GET", f"queries/{query}", None),
            ("GET", f"queries/{query}/events", None),
            ("GET", f"queries/{query}/result", None),
            ("POST", f"queries/{query}/cancel", {"deadline": 2**33, **signature}),
            ("POST", f"queries/{query}/feedback", feedback),
            ("POST", "queries", {"query_id": query, **signature}),
        ]
        for method, path, body in calls:
            refused(hospitals.request(method, path, stranger, json=body), 404, f"no query {query} of yours")
        assert list(stranger.queries()) == []
    refused(hospitals.request("GET", f"queries/{query}/result", customer), 409)
    assert hospitals.post(customer, f"queries/{query}/cancel", {}).json()["status"] == "cancelled"
    assert hospitals.left_behind() == []


def test_addresses_that_lead_nowhere(hospitals: Hospitals, customer: Customer) -> None:
    refused(hospitals.request("GET", "queries/nonsense", customer), 422, "query_id")
    refused(hospitals.request("GET", "nothing", customer), 404, "nothing under this address")
    refused(hospitals.request("PUT", "queries", customer), 405)
    refused(hospitals.request("GET", "reputation/0x12", None), 422, "40 hexadecimal digits")
    refused(hospitals.request("GET", "catalog/datasets", None, params={"limit": 10**9}), 422, "limit")
