"""Events as rows of the database, and back."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any

from pydantic import TypeAdapter

from coordinator.models.chain import ChainLog
from soterone.chain.events import Event, LogPosition
from soterone.domain.ids import Hash32

_ADAPTERS: dict[str, TypeAdapter[Event]] = {}


@dataclass(frozen=True, slots=True)
class LogValues:
    """The columns of a `ChainLog`, without what makes a row of them."""

    chain_id: int
    block_hash: str
    transaction_hash: str
    log_index: int
    block_number: int
    block_time: int
    name: str
    query_id: str | None
    node: str | None
    data_json: str

    def as_dict(self) -> dict[str, Any]:
        """Return the values by column."""
        return {name: getattr(self, name) for name in self.__slots__}


def log_of(event: Event, block_time: int) -> ChainLog:
    """Return the row of an event."""
    return ChainLog(**log_values(event, block_time).as_dict())


def log_values(event: Event, block_time: int) -> LogValues:
    """Return what the row of an event holds; `block_time` in seconds."""
    position, data = event.position, data_of(event)
    return LogValues(
        chain_id=position.chain_id,
        block_hash=position.block_hash,
        transaction_hash=position.transaction_hash,
        log_index=position.log_index,
        block_number=position.block_number,
        block_time=block_time,
        name=type(event).__name__,
        query_id=data.get("query_id"),
        node=data.get("node"),
        data_json=json.dumps(data, separators=(",", ":")),
    )


def event_of(log: ChainLog, kinds: Mapping[str, type[Event]]) -> Event:
    """Return the event of a row, which is of one of these kinds (by name)."""
    position = LogPosition(
        log.chain_id, log.block_number, log.log_index, Hash32(log.block_hash), Hash32(log.transaction_hash)
    )
    return _adapter(kinds[log.name]).validate_python({"position": position, **json.loads(log.data_json)})


def data_of(event: Event) -> dict[str, Any]:
    """Return an event's arguments by name, as JSON has them."""
    values = {one.name: getattr(event, one.name) for one in fields(event) if one.name != "position"}
    return {name: _plain(value) for name, value in values.items()}


def _adapter(kind: type[Event]) -> TypeAdapter[Event]:
    if kind.__name__ not in _ADAPTERS:
        _ADAPTERS[kind.__name__] = TypeAdapter(kind)
    return _ADAPTERS[kind.__name__]


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
