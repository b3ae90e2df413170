"""A query customer: signed in at one coordinator, trusting it with nothing that the customer can check itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from soterone.chain.standing import Standing
from soterone.client.connection import Connection
from soterone.client.errors import ClientError, Untrustworthy
from soterone.client.inputs import typed_account, typed_query_id
from soterone.client.keyring import Keyring
from soterone.client.ledger import Ledger
from soterone.client.orders import check_order
from soterone.client.query import Query
from soterone.client.transport import Transport
from soterone.crypto.accounts import Wallet, account
from soterone.crypto.messages import QueryOrder, query_id_of, sign
from soterone.crypto.sealing import ResultKey
from soterone.crypto.siwe import parse_sign_in, sign_in_digest
from soterone.domain.ids import Account, hash_bytes
from soterone.domain.spec import QuerySpec
from soterone.rest.auth import NonceReply, NonceRequest, TokenReply, VerifyRequest
from soterone.rest.catalog import (
    ClaimList,
    ClaimView,
    DatasetEntry,
    DatasetList,
    NodeEntry,
    NodeList,
    ReputationStep,
    ReputationView,
)
from soterone.rest.network import NetworkDescription
from soterone.rest.queries import (
    Accepted,
    LaunchRequest,
    Proposal,
    ProposalRequest,
    QueryList,
    QueryView,
    TimerWishes,
)

PROPOSAL_SECONDS = 60.0
_DEFAULT_FOLDER = Path("~/.soterone")


@dataclass(frozen=True, slots=True)
class Customer:
    """What a customer can do. Every method may raise Unreachable or Refused."""

    connection: Connection

    @classmethod
    def connect(
        cls,
        url: str,
        wallet: Wallet,
        rpc_url: str,
        ca_file: Path | None = None,
        folder: Path | None = None,
        token: str | None = None,
    ) -> Self:
        """Sign in at a coordinator, or use a token from before.

        `rpc_url` is a chain node that the customer trusts, `folder` keeps its keys and orders.
        """
        transport = Transport(url, ca_file)
        network = transport.get("network", NetworkDescription)
        keyring = Keyring((folder or _DEFAULT_FOLDER).expanduser() / "result-keys", wallet)
        customer = cls(Connection(wallet, network, transport, keyring, Ledger(rpc_url, network)))
        transport.token = token or customer.sign_in()
        return customer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def account(self) -> Account:
        """The customer's account."""
        return self.connection.wallet.account

    @property
    def network(self) -> NetworkDescription:
        """The network that it is signed in at."""
        return self.connection.network

    @property
    def transport(self) -> Transport:
        """The way to the coordinator."""
        return self.connection.transport

    @property
    def ledger(self) -> Ledger:
        """What the chain itself says."""
        return self.connection.ledger

    def close(self) -> None:
        """Close the connections; the token stays valid until it expires."""
        self.transport.close()

    def sign_in(self) -> str:
        """Return a new token, got by signing the coordinator's message (EIP-4361), after reading what it says."""
        nonce = self.transport.post("auth/nonce", NonceRequest(account=self.account), NonceReply)
        message = parse_sign_in(nonce.message)
        expected = (self.account, self.network.chain_id, urlsplit(self.transport.url).netloc)
        if (message.account, message.chain_id, message.domain) != expected:
            raise Untrustworthy(
                f"the coordinator asked to sign in at {message.domain} as {message.account} on chain "
                f"{message.chain_id}; nothing was signed"
            )
        signature = self.connection.wallet.sign(sign_in_digest(nonce.message))
        request = VerifyRequest(message=nonce.message, signature=f"0x{signature.hex()}")
        return self.transport.post("auth/verify", request, TokenReply).token

    def datasets(
        self, text: str | None = None, tag: str | None = None, owner: str | None = None
    ) -> Iterator[DatasetEntry]:
        """Yield the datasets of the catalog that fit every filter given."""
        after: str | None = None
        while True:
            page = self.transport.get(
                "catalog/datasets", DatasetList, text=text, tag=tag, owner=owner, after=after
            )
            yield from page.datasets
            if (after := page.next) is None:
                return

    def nodes(self, role: int | None = None) -> Iterator[NodeEntry]:
        """Yield the nodes of the catalog; `role` is 1 for data owners, 2 for MPC nodes."""
        after: str | None = None
        while True:
            page = self.transport.get("catalog/nodes", NodeList, role=role, after=after)
            yield from page.nodes
            if (after := page.next) is None:
                return

    def submit(self, spec: QuerySpec, timers: TimerWishes | None = None) -> Query:
        """Propose a query and launch it; errors as `propose` and `launch`."""
        return self.launch(self.propose(spec, timers))

    def propose(self, spec: QuerySpec, timers: TimerWishes | None = None) -> QueryOrder:
        """Reserve the nodes of a query, check the order that comes back and return it unsigned.

        Waits until every participant has answered. Refused says who refused and why; Untrustworthy means that
        the coordinator proposed something else than was asked.
        """
        key = ResultKey.new()
        request = ProposalRequest(
            spec=spec, result_key=f"0x{key.public.hex()}", timers=timers or TimerWishes()
        )
        owners = self._owners_of(spec)
        proposal = self.transport.post("queries/proposals", request, Proposal, PROPOSAL_SECONDS)
        expected_id = query_id_of(
            self.connection.ledger_domain, self.account, hash_bytes(proposal.order.salt)
        )
        order = check_order(request, proposal, owners, self.account, expected_id, self.ledger.time())
        self.connection.keyring.keep(expected_id, key, proposal.order)
        return order

    def launch(self, order: QueryOrder) -> Query:
        """Sign a proposed order and have it carried out; the same again is harmless, also after Unreachable."""
        ledger = self.connection.ledger_domain
        identifier = query_id_of(ledger, self.account, order.salt)
        signature = sign(self.connection.wallet, ledger, order)
        signed_at = time.monotonic()
        launch = LaunchRequest(query_id=identifier, signature=f"0x{signature.hex()}")
        self.transport.post("queries", launch, Accepted)
        return Query(identifier, self.connection, signed_at)

    def query(self, identifier: str) -> Query:
        """Return the handle of one of this customer's queries."""
        return Query(typed_query_id(identifier), self.connection)

    def queries(self) -> Iterator[QueryView]:
        """Yield this customer's queries, newest first."""
        after: str | None = None
        while True:
            page = self.transport.get("queries", QueryList, after=after)
            yield from page.queries
            if (after := page.next) is None:
                return

    def reputation(self, node: str, limit: int | None = None, before: str | None = None) -> ReputationView:
        """Return what the coordinator says of an account's standing, and one page of its history, newest first;
        `confirm_reputation` asks the chain."""
        path = f"reputation/{typed_account(node)}"
        return self.transport.get(path, ReputationView, limit=limit, before=before)

    def confirm_reputation(self, node: str, view: ReputationView) -> Standing:
        """Return an account's standing after the block of which the coordinator speaks, read from the chain;
        Untrustworthy when the coordinator says another."""
        known = typed_account(node)
        standing = self.ledger.standing_of(known, view.block)
        problem = view.contradiction(ReputationView.of(known, standing))
        if problem:
            raise Untrustworthy(
                f"The coordinator says of {known} in block {view.block}: {problem}. Do not rely on it; when the chain "
                "was reorganised just now, ask again."
            )
        return standing

    def reputation_history(self, node: str) -> Iterator[ReputationStep]:
        """Yield every step of an account's history that the coordinator knows, newest first."""
        before: str | None = None
        while True:
            page = self.reputation(node, before=before)
            yield from page.history
            if (before := page.next) is None:
                return

    def claims(self, node: str) -> list[ClaimView]:
        """Return the newest claims that detectors upheld against a node and how they stand, newest first, as the
        coordinator read them on chain."""
        return self.transport.get(f"reputation/{typed_account(node)}/claims", ClaimList).claims

    def delete_account(self) -> None:
        """Have everything about this customer removed from the coordinator; the chain keeps what it has."""
        self.transport.delete("account")

    def _owners_of(self, spec: QuerySpec) -> set[Account]:
        owners = {entry.metadata.id: account(entry.owner) for entry in self.datasets()}
        missing = [dataset for dataset in spec.datasets if dataset not in owners]
        if missing:
            raise ClientError(f"dataset {missing[0]} is not in the catalog: unknown or withdrawn")
        return {owners[dataset] for dataset in spec.datasets}
