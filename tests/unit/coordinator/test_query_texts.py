"""Examples parse, refusals of contracts have words, and capacity estimates grow with the data."""

import pytest
from pydantic import BaseModel, ValidationError

from coordinator.queries import examples
from coordinator.queries.refusals import _SENTENCES, sentence_of
from coordinator.resources.demand import mpc_demand, owner_demand
from soterone.chain.codec import load_abi, snake_case
from soterone.chain.errors import RevertedError
from soterone.domain.metadata import ColumnMetadata, DatasetMetadata
from soterone.rest.queries import (
    Accepted,
    CancelRequest,
    FeedbackRequest,
    LaunchRequest,
    Proposal,
    ProposalRequest,
    QueryEvent,
)

_ERRORS = {
    one["name"]: one
    for contract in ("NodeRegistry", "QueryLedger", "ReputationLedger")
    for one in load_abi(contract)
    if one["type"] == "error"
}


@pytest.mark.parametrize(
    ("model", "example"),
    [
        (ProposalRequest, examples.PROPOSAL),
        (Proposal, examples.ORDER),
        (LaunchRequest, examples.LAUNCH),
        (Accepted, examples.ACCEPTED),
        (CancelRequest, examples.CANCEL),
        (FeedbackRequest, examples.FEEDBACK),
    ],
)
def test_examples_are_valid(model: type[BaseModel], example: dict[str, object]) -> None:
    assert model.model_validate(example)


def test_the_example_of_an_event_is_one() -> None:
    data = examples.EVENT.splitlines()[1].removeprefix("data: ")
    assert QueryEvent.model_validate_json(data).kind == "progress"


@pytest.mark.parametrize("name", sorted(_SENTENCES))
def test_every_worded_refusal_is_an_error_of_the_contracts(name: str) -> None:
    arguments = {snake_case(one["name"]): "X" for one in _ERRORS[name]["inputs"]}
    sentence = sentence_of(RevertedError(name, arguments, "unused"))
    assert "{" not in sentence
    assert sentence != "unused"


def test_the_closed_window_tells_when() -> None:
    assert "closed_at" in {
        snake_case(one["name"]) for one in _ERRORS["ReputationLedgerWindowClosed"]["inputs"]
    }
    error = RevertedError("ReputationLedgerWindowClosed", {"query_id": "0x", "closed_at": 0}, "unused")
    assert "1970-01-01" in sentence_of(error)
    assert sentence_of(RevertedError("Panic", {"code": 1}, "It broke.")) == "It broke."


@pytest.mark.parametrize("deadline", [-1, 2**64, 10**400])
def test_a_deadline_that_no_signature_can_have_is_malformed(deadline: int) -> None:
    rating = {"nodes": ["0x" + "1" * 40], "ratings": [90], "signature": "0x"}
    for body, rest in ((FeedbackRequest, rating), (CancelRequest, {"signature": "0x"})):
        with pytest.raises(ValidationError, match="deadline"):
            body.model_validate(rest | {"deadline": deadline})


def test_demands_grow_with_rows_and_columns() -> None:
    def table(rows: int, columns: int) -> DatasetMetadata:
        return DatasetMetadata(
            id="11111111-1111-4111-8111-111111111111",
            name="t",
            rows_at_least=0,
            rows_below=rows,
            columns=tuple(ColumnMetadata(name=f"c{one}", kind="number") for one in range(columns)),
        )

    small, large = table(1000, 10), table(100_000, 30)
    assert owner_demand(small).memory_bytes < owner_demand(large).memory_bytes
    joined = mpc_demand([small, large])
    assert joined == mpc_demand([large, small])
    assert joined.memory_bytes < mpc_demand([large, large]).memory_bytes < 2 * 2**30
