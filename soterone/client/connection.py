"""What everything of a customer shares: who it is, where it is signed in, and what it checks answers with."""

from dataclasses import dataclass

from soterone.client.keyring import Keyring
from soterone.client.ledger import Ledger
from soterone.client.transport import Transport
from soterone.crypto.accounts import Wallet, account
from soterone.crypto.messages import Domain
from soterone.rest.network import NetworkDescription


@dataclass(frozen=True, slots=True)
class Connection:
    """A wallet, a coordinator, and a chain node of the customer's own choice."""

    wallet: Wallet
    network: NetworkDescription
    transport: Transport
    keyring: Keyring
    ledger: Ledger

    @property
    def ledger_domain(self) -> Domain:
        """The EIP-712 domain of orders, cancellations and result shares."""
        return Domain(self.network.chain_id, account(self.network.contracts["QueryLedger"]))

    @property
    def feedback_domain(self) -> Domain:
        """The EIP-712 domain of feedback."""
        return Domain(self.network.chain_id, account(self.network.contracts["ReputationLedger"]))
