"""What the services of one process share; made once in `__main__` and handed down."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from coordinator.database import Database
from coordinator.errors import Malformed
from coordinator.metrics import Metrics
from coordinator.queries.blobs import BlobStore
from coordinator.queries.limits import QueryLimits
from coordinator.settings import Settings
from coordinator.wakeups import Wakeups
from soterone.chain.client import ChainClient
from soterone.crypto.accounts import account as checksummed
from soterone.crypto.certificates import CertificateAuthority
from soterone.crypto.messages import Domain
from soterone.domain.ids import Account


@dataclass(frozen=True, slots=True)
class Context:
    """The parts that every service may use. `coordinator` is the account that pays for transactions;
    `sign_in_secret` is 32 bytes that only the coordinator knows."""

    settings: Settings
    database: Database
    wakeups: Wakeups
    chain: ChainClient
    coordinator: Account
    authority: CertificateAuthority
    sign_in_secret: bytes
    metrics: Metrics
    results: BlobStore
    limits: QueryLimits

    def domain(self, contract: str) -> Domain:
        """Return the EIP-712 domain of a contract, by its Solidity name."""
        contracts = self.chain.contracts
        return Domain(contracts.chain_id, contracts.addresses[contract])


def context_of(request: Request) -> Context:
    """Return the context of the application that answers a request."""
    return cast(Context, request.app.state.context)


Ctx = Annotated[Context, Depends(context_of)]


def account_in_path(account: str) -> Account:
    """Return the account that a route's `{account}` names, in its one textual form; Malformed when it names none."""
    try:
        return checksummed(account) if account.startswith("0x") else checksummed("")
    except ValueError as error:
        raise Malformed("an account is 0x and 40 hexadecimal digits") from error


AccountPath = Annotated[Account, Depends(account_in_path)]
