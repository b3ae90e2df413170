"""Refusals of the node manager."""

from dataclasses import dataclass

from coordinator.errors import Conflict, Forbidden, Malformed, Missing, Unauthenticated, Unavailable


@dataclass
class BadRegistration(Malformed):
    """A part of a registration does not fit the rest."""

    complaint: str

    @property
    def sentence(self) -> str:
        """What is wrong."""
        return self.complaint


@dataclass
class BadSignature(Forbidden):
    """A registration or its end is not signed by whom it names."""

    what: str
    account: str

    @property
    def sentence(self) -> str:
        """What is wrong and the usual causes."""
        return (
            f"the {self.what} is not signed by {self.account} for this chain and this registry; check the key, "
            "the network description and the version of soter-node"
        )


@dataclass
class WrongIncarnation(Conflict):
    """The incarnation is not the next one on chain."""

    expected: int
    given: int

    @property
    def sentence(self) -> str:
        """Which one would do."""
        return f"the chain expects incarnation {self.expected} of this account, not {self.given}; sign again"


@dataclass
class OperatorForLife(Conflict):
    """The account was registered under another operator before."""

    account: str
    operator: str

    @property
    def sentence(self) -> str:
        """Who alone may operate it."""
        return (
            f"{self.account} is operated by {self.operator} for life: register with this operator, "
            "or make another account with soter-node init in another folder"
        )


@dataclass
class OtherRegistration(Conflict):
    """The account is registered, or is being registered, with other values."""

    account: str

    @property
    def sentence(self) -> str:
        """What to do."""
        return (
            f"{self.account} is registered already with another key, profile or role; "
            "unregister it first, or use the folder it was registered from"
        )


@dataclass
class KeyTaken(Conflict):
    """Another node has the same TLS key."""

    @property
    def sentence(self) -> str:
        """What to do."""
        return "another node is registered with this TLS key; make a new one with soter-node init"


@dataclass
class NodeSuspendedError(Forbidden):
    """The node is suspended on chain."""

    account: str

    @property
    def sentence(self) -> str:
        """What that means."""
        return f"{self.account} is suspended on chain and may not take part"


@dataclass
class RegistrationRefused(Conflict):
    """The contract refused the registration or its end."""

    complaint: str

    @property
    def sentence(self) -> str:
        """What the contract said."""
        return f"the chain refused the transaction: {self.complaint}"


@dataclass
class NotMinedYet(Unavailable):
    """The transaction waits longer than the caller should."""

    @property
    def sentence(self) -> str:
        """What to do."""
        return "the transaction is on its way but not mined yet; run the same command again in a minute"


@dataclass
class UnknownNode(Missing):
    """There is no such node."""

    account: str

    @property
    def sentence(self) -> str:
        """What to do."""
        return f"{self.account} is not a registered node"


@dataclass
class UnknownCertificate(Unauthenticated):
    """The caller's certificate belongs to no registered node."""

    @property
    def sentence(self) -> str:
        """What to do."""
        return "this TLS key belongs to no registered node; run soter-node register"


@dataclass
class NotActive(Forbidden):
    """The node may not call now."""

    account: str
    status: str

    @property
    def sentence(self) -> str:
        """Why not."""
        advice = "; run soter-node register" if self.status == "pending" else ""
        return f"node {self.account} is {self.status}, so it may not call this{advice}"


@dataclass
class WrongRole(Forbidden):
    """The node has not the role that a call needs."""

    account: str
    role: str

    @property
    def sentence(self) -> str:
        """Which role is missing."""
        return f"node {self.account} is not registered as a {self.role}"


@dataclass
class TakesPart(Conflict):
    """A node wants to leave in the middle of a query."""

    queries: int

    @property
    def sentence(self) -> str:
        """When it may leave."""
        return f"the node takes part in {self.queries} unfinished queries; wait until they are cleaned up"
