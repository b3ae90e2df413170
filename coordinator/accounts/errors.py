"""Refusals at signing in and leaving."""

from dataclasses import dataclass

from coordinator.errors import Conflict, Unauthenticated


@dataclass
class NotSignedIn(Unauthenticated):
    """There is no valid token."""

    @property
    def sentence(self) -> str:
        """What to do."""
        return "sign in first: the token is missing, unknown or expired (soter login)"


@dataclass
class SignInRefused(Unauthenticated):
    """A sign-in message or its signature does not hold."""

    complaint: str

    @property
    def sentence(self) -> str:
        """What is wrong."""
        return f"{self.complaint}; ask for a new sign-in message and sign that"


@dataclass
class StillANode(Conflict):
    """The account is a registered node."""

    account: str

    @property
    def sentence(self) -> str:
        """What to do first."""
        return f"{self.account} is a registered node; run soter-node unregister first"


@dataclass
class StillBusy(Conflict):
    """The account has queries that have not ended."""

    queries: int

    @property
    def sentence(self) -> str:
        """What to do first."""
        return f"{self.queries} of your queries have not ended; cancel them or wait for their cleanup first"
