"""Lays out contracts and their Natspec as one Markdown page, the same text for the same contracts."""

from __future__ import annotations

from collections.abc import Iterator

from scripts.natspec import Contract, Item, Kind, Value

_HEAD = """# The contracts

Written by `make generate` from the contracts' Natspec; change the contracts, not this page. What they are for stands
in [architecture.md](architecture.md), how they work together in [protocol.md](protocol.md), what they cost in
[gas.md](gas.md), and how the two ERC-8004 views answer in [erc-8004.md](erc-8004.md).
"""


def page(contracts: list[Contract]) -> str:
    """The whole page: what is deployed with the interfaces behind it, then what these share."""
    known = {one.name: one for one in contracts}
    deployed = [one for one in contracts if one.path.count("/") == 1]
    shared = [one for one in contracts if one not in deployed and one.sort != "interface"]
    parts = [_HEAD, *(_chapter(one, known) for one in deployed), _appendix(shared)]
    return "\n".join(parts)


def _chapter(contract: Contract, known: dict[str, Contract]) -> str:
    family = [contract, *(known[name] for name in contract.bases if name in known)]
    interfaces = [one for one in family if one.sort == "interface"]
    kinds = [kind for one in family for kind in one.kinds]
    sections = [
        f"## {contract.name}",
        f"{contract.title}",
        *_paragraphs(contract),
        *(line for one in interfaces for line in [f"**{one.name}.** {one.title}", *_paragraphs(one)]),
        f"Source: {', '.join(_link(one) for one in family)}",
        *_group("Constructor", contract, "constructor"),
        *_group("Functions", contract, "function"),
        *_group("Events", contract, "event"),
        *_errors(contract),
        *_inherited(contract),
        *(["### Structs and enums", "\n".join(_kind(one) for one in kinds)] if kinds else []),
    ]
    return "\n\n".join(sections) + "\n"


def _paragraphs(contract: Contract) -> list[str]:
    return [text for text in (contract.notice, contract.details) if text]


def _link(contract: Contract) -> str:
    return f"[{contract.path}](../{contract.path})"


def _ours(contract: Contract, sort: str) -> list[Item]:
    return [one for one in contract.items if one.sort == sort and one.ours]


def _group(title: str, contract: Contract, sort: str) -> Iterator[str]:
    if items := _ours(contract, sort):
        yield f"### {title}"
        yield "\n".join(_item(one) for one in items)


def _item(item: Item) -> str:
    said = " ".join(text for text in (item.notice, item.details) if text)
    head = f"- `{_signature(item)}`" + (f": {said}" if said else "")
    rows = [f"  - `{one.name}`: {one.note}" for one in item.inputs if one.note]
    rows += [f"  - returns {_returned(one)}: {one.note}" for one in item.outputs if one.note]
    return "\n".join([head, *rows])


def _returned(value: Value) -> str:
    return f"`{value.name or value.kind}`"


def _signature(item: Item) -> str:
    inputs = ", ".join(_declared(one) for one in item.inputs)
    outputs = ", ".join(_declared(one) for one in item.outputs)
    words = [f"{item.name or item.sort}({inputs})"]
    if item.mutability in ("view", "pure", "payable"):
        words.append(item.mutability)
    if outputs:
        words.append(f"→ {outputs}")
    return " ".join(words)


def _declared(value: Value) -> str:
    return " ".join(word for word in (value.kind, "indexed" if value.indexed else "", value.name) if word)


def _errors(contract: Contract) -> Iterator[str]:
    if errors := _ours(contract, "error"):
        rows = [f"| `{_signature(one)}` | {one.notice} |" for one in errors]
        yield "### Errors"
        yield "\n".join(["| error | meaning |", "|---|---|", *rows])


def _inherited(contract: Contract) -> Iterator[str]:
    for sort, title in (("function", "Functions"), ("event", "Events"), ("error", "Errors")):
        names = {one.name: None for one in contract.items if one.sort == sort and not one.ours}
        if names:
            yield f"{title} of OpenZeppelin: {', '.join(f'`{name}`' for name in names)}."


def _kind(kind: Kind) -> str:
    fields = ", ".join(_declared(one).replace("enum ", "").replace("struct ", "") for one in kind.fields)
    return f"- {kind.sort} `{kind.name} {{{fields}}}`" + (f": {kind.note}" if kind.note else "")


def _appendix(shared: list[Contract]) -> str:
    rows = [f"| [{one.name}](../{one.path}) | {' '.join([one.title, *_paragraphs(one)])} |" for one in shared]
    return "\n".join(["## What they share", "", "| library or base | what it is |", "|---|---|", *rows, ""])
