"""Figures for Prometheus. Labels have few values and never an account."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The counters, gauges and histograms of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "soter_rest_requests", "REST requests", ["method", "route", "status"], registry=self.registry
        )
        self.request_seconds = Histogram(
            "soter_rest_request_seconds",
            "Time to answer",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.calls = Counter("soter_rpc_calls", "RPCs of agents", ["method", "code"], registry=self.registry)
        self.heartbeats = Counter("soter_heartbeats", "Heartbeats made durable", registry=self.registry)
        self.heartbeat_batch_seconds = Histogram(
            "soter_heartbeat_batch_seconds",
            "Time to write one batch",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.streams = Gauge("soter_agent_streams", "Open agent streams", registry=self.registry)
        self.nodes_online = Gauge("soter_nodes_online", "Nodes that count as online", registry=self.registry)
        self.outbox_depth = Gauge(
            "soter_outbox_depth", "Transactions not mined yet", ["state"], registry=self.registry
        )
        self.head_age_seconds = Gauge(
            "soter_chain_head_age_seconds", "Age of the last block that was followed", registry=self.registry
        )
        self.queries_set_aside = Counter(
            "soter_queries_set_aside",
            "Queries that could not even be failed; the log names them",
            registry=self.registry,
        )
        self.queries = Gauge("soter_queries", "Queries by status", ["status"], registry=self.registry)

    def render(self) -> bytes:
        """Return all figures in the text format of Prometheus."""
        return generate_latest(self.registry)
