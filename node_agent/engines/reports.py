"""What an engine's child tells its parent: JSON lines, each a step, the failure or the result."""

from dataclasses import dataclass
from typing import Self

from pydantic import TypeAdapter, ValidationError

from node_agent.engines.base import EngineError, JobResult, Progress
from soterone.domain.failures import FailureReason

SENTENCE_LIMIT = 300


@dataclass(frozen=True, slots=True)
class Failed:
    """An EngineError on its way to the parent, without its detail, which goes to stderr."""

    reason: FailureReason
    sentence: str
    heard: bool = False
    mismatch: bool = False
    unlinked: tuple[int, ...] = ()

    @classmethod
    def of(cls, error: EngineError) -> Self:
        """Return what of an error is told."""
        return cls(error.reason, error.sentence, error.heard, error.mismatch, error.unlinked)

    def error(self, detail: str) -> EngineError:
        """Return the error again, with what the child wrote to stderr."""
        return EngineError(
            self.reason,
            self.sentence,
            detail,
            heard=self.heard,
            mismatch=self.mismatch,
            unlinked=self.unlinked,
        )

    def hearsay(self) -> EngineError:
        """Return the failure as another party told it: of a reason that a party may tell, in a printable sentence."""
        known = self.reason if self.reason is FailureReason.BAD_DATA else FailureReason.ENGINE_ERROR
        sentence = "".join(letter for letter in self.sentence if letter.isprintable())[:SENTENCE_LIMIT]
        return EngineError(known, sentence, heard=not self.mismatch, mismatch=self.mismatch)


@dataclass(frozen=True, slots=True)
class Report:
    """One line; exactly one of the three is there."""

    progress: Progress | None = None
    failed: Failed | None = None
    result: JobResult | None = None

    def to_line(self) -> str:
        """Return the line, with its end."""
        return REPORT.dump_json(self, exclude_none=True).decode() + "\n"

    @classmethod
    def from_line(cls, line: bytes) -> "Report":
        """Read a line; EngineError when it is none, as when something printed into it."""
        try:
            report = REPORT.validate_json(line)
        except ValidationError as error:
            raise _garbled() from error
        if [report.progress, report.failed, report.result].count(None) != 2:
            raise _garbled()
        return report


REPORT: TypeAdapter[Report] = TypeAdapter(Report)


def _garbled() -> EngineError:
    sentence = (
        "The engine's report made no sense: the operator must check that agent and engine are of one version."
    )
    return EngineError(FailureReason.ENGINE_ERROR, sentence)
