"""How what was told differs from what was true at no moment of the time that it may be of."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from soterone.audit.report import Finding, Subject
from soterone.chain.records import Block


@dataclass(frozen=True, slots=True)
class Span:
    """The blocks of which a coordinator may speak: from some before it was asked to the audited one."""

    first: Block
    last: Block


def different(
    what: str, pairs: Mapping[str, tuple[object, set[object]]], subject: Subject
) -> Iterator[Finding]:
    """Complain of what was true at no moment; of several truths the sentence gives some."""
    for name, (told, known) in pairs.items():
        if told not in known:
            given = " or ".join(sorted(map(str, known))[:3])
            yield Finding(f"{what}: the coordinator says {name} {told}, the chain gives {given}", (subject,))
