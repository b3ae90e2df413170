"""The demo from an empty folder to cleaned-up workspaces, each step done by the real thing."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from scripts.demo.account import DemoAccount, TimedEvent
from scripts.demo.comparison import compare
from scripts.demo.hospitals import KEY, LABEL, Hospital, split
from scripts.demo.leftovers import leftovers
from scripts.demo.mishap import EPOCHS, Mishap
from scripts.demo.narrator import Narrator
from scripts.demo.progress import Progress
from scripts.demo.recorder import Recorder
from scripts.devnet.network import Devnet
from soterone.audit.auditor import audit
from soterone.audit.report import Report
from soterone.chain.client import ChainClient
from soterone.chain.events import (
    FeedbackGiven,
    QueryCleanup,
    QueryCompleted,
    QueryDispatched,
    QueryFailed,
    QuerySettled,
)
from soterone.chain.records import Contracts
from soterone.client.customer import Customer
from soterone.client.model import Model
from soterone.client.query import Query
from soterone.crypto.accounts import create_keystore
from soterone.domain.ids import Account
from soterone.domain.spec import QuerySpec

MPC_NAMES = ("ada", "bela", "cleo", "dora")
SPARE_NAMES = ("emil", "fay")
"""More nodes to draw a successor from."""
PASSWORD = "demo"  # noqa: S105


class DemoError(Exception):
    """The demo did not come out as it should; the text says where."""


@dataclass(slots=True)
class Story:
    """One run of the demo inside one network; with a mishap somebody dies in the middle of it."""

    network: Devnet
    narrator: Narrator
    mishap: Mishap | None = None
    account: DemoAccount = field(default_factory=DemoAccount)

    def tell(self) -> DemoAccount:
        """Run everything; DemoError, ProcessError or ClientError when a step fails."""
        self._build()
        recorder = Recorder(self.network.rpc_url, self._contracts)
        recorder.start()
        try:
            with self._customer() as customer:
                self._query(customer, recorder)
        finally:
            recorder.stop()
        return self.account

    @property
    def _contracts(self) -> Contracts:
        if self.network.deployment is None:
            raise DemoError("the contracts are not deployed")
        return Contracts.of(self.network.deployment)

    def _build(self) -> None:
        say, network = self.narrator.say, self.network
        self.narrator.chapter("A network of strangers")
        say(f"a chain (anvil) at {network.start_chain()}")
        network.deploy()
        contracts = self._contracts
        say(
            "contracts: "
            + ", ".join(f"{name} {address[:8]}…" for name, address in contracts.addresses.items())
        )
        self.account.chain = {
            "rpc": network.rpc_url, "chain_id": contracts.chain_id, "contracts": dict(contracts.addresses),
        }  # fmt: skip
        say(f"the coordinator at {network.start_coordinator()}")
        if network.services:
            say(f"it is {len(network.services)} processes over one PostgreSQL: {', '.join(network.services)}")
        self._start_nodes()

    def _start_nodes(self) -> None:
        pool = ThreadPoolExecutor(max_workers=3)
        try:
            started = [
                *(pool.submit(self._start_owner, hospital) for hospital in split()),
                *(pool.submit(self._start_mpc_node, name) for name in self._mpc_names),
            ]
            for one in started:
                self.narrator.say(one.result())
        finally:
            pool.shutdown(cancel_futures=True)

    @property
    def _mpc_names(self) -> tuple[str, ...]:
        return MPC_NAMES if self.mishap is None else (*MPC_NAMES, *SPARE_NAMES)

    def _start_owner(self, hospital: Hospital) -> str:
        owner = self.network.add_agent(hospital.name, "owner")
        self.network.start_agent(hospital.name)
        self.narrator.introduce(owner.account, hospital.name)
        table = self.network.folder / f"{hospital.name}.csv"
        hospital.write(table)
        self.network.node(
            hospital.name, "dataset", "add", str(table), "--name", f"{hospital.name} tumours", "--key", KEY
        )
        return (
            f"data owner [green]{hospital.name}[/] registered as {owner.account} and published masked metadata of "
            f"{len(hospital.keys)} rows, {len(hospital.columns)} features"
        )

    def _start_mpc_node(self, name: str) -> str:
        node = self.network.add_agent(name, "mpc")
        self.network.start_agent(name)
        self.narrator.introduce(node.account, name)
        return f"MPC node [magenta]{name}[/] registered as {node.account}"

    def _customer(self) -> Customer:
        folder = self.network.folder / "customer"
        folder.mkdir()
        wallet = create_keystore(folder / "keystore.json", PASSWORD)
        (folder / "password").write_text(PASSWORD)
        self.narrator.introduce(wallet.account, "the customer")
        self.narrator.chapter("One query")
        customer = Customer.connect(
            self.network.rest_url, wallet, self.network.rpc_url, self.network.ca_file, folder
        )
        self.narrator.say(f"the customer signs in as {wallet.account}")
        return customer

    def _query(self, customer: Customer, recorder: Recorder) -> None:
        spec = self._spec(customer)
        nodes = [agent.account for agent in self.network.agents.values()]
        before = dict(zip(nodes, customer.ledger.scores_of(nodes), strict=True))
        asked = time.monotonic()
        query = customer.submit(spec)
        signed = query.signed_at
        self.account.phases["reserve"] = signed - asked
        self.narrator.say(f"every participant accepted; the order is signed: query {query.id[:18]}…")
        progress = self._watch(query)
        self.account.phases["dispatch"] = recorder.time_of(query.id, QueryDispatched) - signed
        if self.mishap is not None and self.mishap.fatal:
            self._end_without_model(query, before, customer, recorder)
        else:
            self._end_with_model(query, spec, progress, before, customer, recorder)
        self._audit()
        view = query.view()
        self.account.query = {"id": query.id, "status": view.status, "generation": view.generation}
        self.account.events = [
            TimedEvent(
                type(seen.event).__name__,
                seen.event.position.block_number,
                seen.event.position.transaction_hash,
                round(seen.at - signed, 3),
            )
            for seen in recorder.events_of(query.id)
        ]

    def _end_with_model(
        self,
        query: Query,
        spec: QuerySpec,
        progress: Progress,
        before: dict[Account, int],
        customer: Customer,
        recorder: Recorder,
    ) -> None:
        completed = recorder.time_of(query.id, QueryCompleted)
        recorder.time_of(query.id, QueryCleanup)
        self.account.phases |= progress.seconds(completed)
        model = self._open(query)
        self._compare(model, spec)
        self._clean(query, completed, recorder)
        self._rate(query, before, customer, recorder)

    def _end_without_model(
        self, query: Query, before: dict[Account, int], customer: Customer, recorder: Recorder
    ) -> None:
        failure = query.view().failure
        if failure is None or failure.node is None:
            raise DemoError("the coordinator does not say who made the query fail")
        self.narrator.say(f"the customer reads: {failure.sentence} ({self.narrator.name(failure.node)})")
        self._clean(query, recorder.time_of(query.id, QueryFailed), recorder)
        recorder.time_of(query.id, QuerySettled)
        self._show_reputation(before, customer)

    def _spec(self, customer: Customer) -> QuerySpec:
        found = {
            self.narrator.name(entry.owner): entry.metadata for entry in customer.datasets(text="tumours")
        }
        for name, metadata in found.items():
            columns = ", ".join(column.name for column in metadata.columns[:6])
            self.narrator.say(
                f"the catalog shows [green]{name}[/]: {metadata.rows_at_least} to {metadata.rows_below} rows; "
                f"{columns}, …"
            )
        clinic, laboratory = found["clinic"], found["laboratory"]
        return QuerySpec.model_validate(
            {
                "name": "malignancy-risk",
                "algorithm": "vertical-logistic-regression",
                "datasets": [clinic.id, laboratory.id],
                "key": KEY,
                "label": {"dataset": clinic.id, "column": LABEL},
                "training": {} if self.mishap is None else {"epochs": EPOCHS},
            }
        )

    def _watch(self, query: Query) -> Progress:
        progress = Progress(self.narrator)
        for event in query.events():
            progress.take(event)
            if self.mishap is not None:
                self.mishap.take(event)
        self._after_mishap()
        view = query.view()
        expected = "failed" if self.mishap is not None and self.mishap.fatal else "completed"
        if view.status != expected:
            raise DemoError(view.failure.sentence if view.failure else f"the query was {view.status}")
        return progress

    def _after_mishap(self) -> None:
        if self.mishap is not None:
            self.mishap.bring_back()
            self.account.kill = {"victim": self.mishap.victim, **self.mishap.seconds}

    def _open(self, query: Query) -> Model:
        began = time.monotonic()
        model = query.model()
        self.account.phases["open"] = time.monotonic() - began
        self.narrator.say(
            f"the customer checks the result against the chain and opens it: {len(model.weights)} weights, "
            f"trained on {model.training_rows} rows; nobody else ever saw them"
        )
        return model

    def _compare(self, model: Model, spec: QuerySpec) -> None:
        clinic, laboratory = split()
        accounts = self._account_of(clinic), self._account_of(laboratory)
        clear = compare(clinic, laboratory, accounts, spec.training)
        self.account.metrics = {
            "joint_auc": model.metrics["auc"], "clear_auc": clear.clear_auc, "owner_auc": clear.owner_auc,
        }  # fmt: skip
        alone = [
            (f"{self.narrator.name(owner)} alone", auc, "in the clear")
            for owner, auc in clear.owner_auc.items()
        ]
        self.narrator.models(
            [
                ("joint, on secret shares", model.metrics["auc"], "what the customer bought"),
                ("joint, in the clear", clear.clear_auc, "the same training if everybody showed everything"),
                *alone,
            ]
        )

    def _account_of(self, hospital: Hospital) -> Account:
        return self.network.agents[hospital.name].account

    def _clean(self, query: Query, completed: float, recorder: Recorder) -> None:
        recorder.time_of(query.id, QueryCleanup)
        self.account.leftovers = leftovers(self.network)
        self.account.phases["cleanup"] = time.monotonic() - completed
        if self.account.leftovers:
            self.narrator.say(f"left behind: {self.account.leftovers}", style="red")
        else:
            self.narrator.say("workspaces, engines and reservations are gone at every participant")

    def _rate(self, query: Query, before: dict[Account, int], customer: Customer, recorder: Recorder) -> None:
        recorder.time_of(query.id, QuerySettled)
        day = self.network.parameters.epoch_seconds
        self.narrator.say(f"a day passes (one of this chain's days takes {day} s)")
        time.sleep(day)
        participants = [one.account for one in query.view().participants]
        query.rate(dict.fromkeys(participants, 95))
        recorder.time_of(query.id, FeedbackGiven)
        self.narrator.say("the coordinator's observations and the customer's rating stand on chain")
        self._show_reputation(before, customer)

    def _show_reputation(self, before: dict[Account, int], customer: Customer) -> None:
        nodes = list(before)
        after = dict(zip(nodes, customer.ledger.scores_of(nodes), strict=True))
        self.account.reputation = {
            node: {"before": before[node] / 1e9, "after": after[node] / 1e9} for node in nodes
        }
        self.narrator.reputation(self.account.reputation)

    def _audit(self) -> None:
        report = asyncio.run(self._audited())
        failed = [sentence for check in report.checks for sentence in check.contradictions]
        self.account.audit = {"ok": report.ok, "checks": len(report.checks), "failed": failed}
        verdict = "everything agrees" if report.ok else f"{len(failed)} contradictions"
        self.narrator.say(f"an auditor rebuilds {report.events} events from the chain alone: {verdict}")
        for sentence in failed:
            self.narrator.say(f"  {sentence}")

    async def _audited(self) -> Report:
        async with await ChainClient.connect(self.network.rpc_url, self._contracts) as chain:
            return await audit(chain)
