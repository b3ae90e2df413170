"""The detectors' quorum as its events tell it: who may judge, and what was judged. Pure."""

from dataclasses import dataclass

from soterone.audit.claims import ClaimReplay
from soterone.audit.panels import PanelReplay
from soterone.audit.penalties import Penalty
from soterone.audit.report import Finding
from soterone.chain.events import Event


@dataclass(slots=True)
class QuorumReplay:
    """Everything that the quorum decided. `epoch_seconds` is its constructor parameter; the registry must be fed each
    event first."""

    panels: PanelReplay
    claims: ClaimReplay
    epoch_seconds: int
    examined: int = 0

    def apply(self, event: Event, time: int, penalty: Penalty | None = None) -> None:
        """Take in the next event with its block's timestamp (seconds); `penalty` is what a NodePenalised cost."""
        epoch = time // self.epoch_seconds
        judged = self.claims.apply(event, epoch, penalty)
        self.examined += self.panels.apply(event, epoch) or judged

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything that no honest quorum would have emitted."""
        return (*self.panels.findings, *self.claims.findings)
