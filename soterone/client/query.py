"""One query of a customer: watch it, open its model, rate its nodes, cancel it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from soterone.client.connection import Connection
from soterone.client.errors import ClientError, QueryFailed, Unreachable, Untrustworthy
from soterone.client.inputs import typed_account
from soterone.client.model import Model, ModelError
from soterone.client.reconstruct import ReconstructError, reconstruct
from soterone.client.verification import CONSTANTS_RANK, CheckedResult, check_result
from soterone.crypto.messages import Cancellation, Feedback, sign
from soterone.crypto.sealing import share_context
from soterone.domain.deadlines import signature_deadline
from soterone.domain.ids import QueryId, hash_bytes
from soterone.rest.queries import Accepted, CancelRequest, FeedbackRequest, QueryEvent, QueryView, ResultView

_ENDED = ("completed", "failed", "cancelled")
_RECONNECT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Query:
    """A handle; it holds no state of its own. `signed_at` is the monotonic second at which it was signed here."""

    id: QueryId
    connection: Connection
    signed_at: float = 0.0

    def view(self) -> QueryView:
        """Return how the query stands."""
        return self.connection.transport.get(f"queries/{self.id}", QueryView)

    def events(self, until: tuple[str, ...] = _ENDED) -> Iterator[QueryEvent]:
        """Yield every event from the first on, over reconnections, up to the one whose kind is in `until`."""
        last: int | None = None
        while True:
            try:
                for _, data in self.connection.transport.stream(f"queries/{self.id}/events", last):
                    event = QueryEvent.model_validate_json(data)
                    last = event.sequence
                    yield event
                    if event.kind in until:
                        return
            except Unreachable:
                time.sleep(_RECONNECT_SECONDS)

    def wait(self) -> QueryView:
        """Wait for the end; QueryFailed with the reason when there is no model."""
        for _ in self.events():
            pass
        view = self.view()
        if view.status != "completed":
            raise QueryFailed(view.failure.sentence if view.failure else f"the query was {view.status}")
        return view

    def model(self) -> Model:
        """Fetch the sealed result, check it against order and chain, open and reconstruct it.

        Without the constants of an owner that was lost at the end, the model applies to standardised columns only.
        Untrustworthy when anything does not agree; ClientError when the result key is not here.
        """
        checked = self.checked_result()
        key = self.connection.keyring.find(self.id)
        identifier = hash_bytes(self.id)
        shares = {
            rank: key.open(sealed, share_context(identifier, checked.generation, rank))
            for rank, sealed in checked.shares.items()
        }
        constants: dict[str, bytes] = {
            owner: key.open(sealed, share_context(identifier, checked.generation, CONSTANTS_RANK))
            for owner, sealed in checked.constants.items()
        }
        try:
            model = reconstruct(shares)
            return model.with_constants(constants) if len(constants) == checked.owners else model
        except (ReconstructError, ModelError) as error:
            raise Untrustworthy(str(error)) from error

    def checked_result(self) -> CheckedResult:
        """Fetch the sealed result and check every hash and signature; Untrustworthy when one does not hold."""
        result = self.connection.transport.get(f"queries/{self.id}/result", ResultView)
        order = self.connection.keyring.order(self.id)
        ledger = self.connection.ledger
        commitment, replacements = ledger.commitment_of(self.id), ledger.replacements_of(self.id)
        return check_result(result, order, commitment, self.connection.ledger_domain, replacements)

    def rate(self, ratings: Mapping[str, int]) -> None:
        """Rate nodes of this query in percent, signed; the coordinator relays it to the chain."""
        if not ratings:
            raise ClientError("rate at least one node")
        by_account = {typed_account(node): percent for node, percent in ratings.items()}
        nodes = tuple(sorted(by_account, key=lambda node: int(node, 16)))
        deadline = signature_deadline(time.time(), self.connection.ledger.time())
        message = Feedback(hash_bytes(self.id), nodes, tuple(by_account[node] for node in nodes), deadline)
        signature = sign(self.connection.wallet, self.connection.feedback_domain, message)
        request = FeedbackRequest(
            nodes=list(nodes),
            ratings=list(message.ratings),
            deadline=deadline,
            signature=f"0x{signature.hex()}",
        )
        self.connection.transport.post(f"queries/{self.id}/feedback", request, Accepted)

    def cancel(self) -> None:
        """Take the order back, signed; a completed query cannot be cancelled."""
        deadline = signature_deadline(time.time(), self.connection.ledger.time())
        message = Cancellation(hash_bytes(self.id), deadline)
        signature = sign(self.connection.wallet, self.connection.ledger_domain, message)
        request = CancelRequest(deadline=deadline, signature=f"0x{signature.hex()}")
        self.connection.transport.post(f"queries/{self.id}/cancel", request, Accepted)
