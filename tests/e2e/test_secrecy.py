"""Nobody but its owner has a value, and nobody but the customer the model: not in memory, not on disk, not sent.

A query over a column of marked values is stopped while it aligns, trains, has trained and has delivered. What every
party holds is then searched for these values, for the owner's constants and for the weights, in every form in
which they could stand there; and the same search finds them where they belong.
"""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from link_capture import permitted
from marked_query import TRAINING, Evidence, MarkedQuery
from marked_tables import ROWS_COMMON, ROWS_EACH, fixed_point, weight_needles
from needles import Needles
from process_memory import dump

SHARE_BYTES = ROWS_COMMON * 4 * 16
FORMS = {"float64", "float32", "fixed point"}
Found = dict[str, Counter[str]]

HOLDER = """
import sys, numpy
kept = dict(numpy.load(sys.argv[1]))
floats, text = kept["weights_float64"].tolist(), str(kept["raw_float64"].tolist())
print("holding", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """Everything gathered during one query."""
    return MarkedQuery(tmp_path_factory.mktemp("secrecy")).run()


@pytest.fixture(scope="module")
def needles(evidence: Evidence) -> Needles:
    """All that is looked for, each kind by a label of its own."""
    models = {
        **{f"epoch {epoch}": weights for epoch, weights in evidence.weights.items()},
        "final": final(evidence),
    }
    weights = [needle for when, model in models.items() for needle in weight_needles(model, when)]
    return Needles([*evidence.marks.needles(), *evidence.marks.constants(), *weights])


@pytest.fixture(scope="module")
def in_memory(evidence: Evidence, needles: Needles) -> Found:
    """What was found in each process at each moment."""
    return {taken.name: needles.find(taken.content) for taken in evidence.dumps}


def final(evidence: Evidence) -> list[float]:
    return list(evidence.model["weights"])


def only(found: Counter[str], *kinds: str) -> dict[str, int]:
    """Return what was found of some kinds."""
    return {label: count for label, count in found.items() if label.startswith(kinds)}


def test_what_is_looked_for_is_what_was_computed_with(evidence: Evidence) -> None:
    """The constants that the customer got are those of the marks, and the last checkpoints open to its model."""
    got = {name: (mean, deviation) for name, mean, deviation in evidence.model["scaling"]}
    scaling = evidence.marks.scaling
    expected = zip(scaling.means, scaling.deviations, strict=True)
    assert [got[f"marked_{column}"] for column in range(4)] == list(expected)
    assert evidence.weights[TRAINING.epochs] == final(evidence)
    assert min(abs(weight) for weight in final(evidence)) > 2**-12
    assert evidence.model["auc"] > 0.75


def test_the_search_finds_the_values_in_their_owners_engine(in_memory: Found) -> None:
    found = in_memory["marked's engine aligning"]
    assert found["raw float64"] >= ROWS_EACH
    assert not only(found, "weights")


def test_the_search_finds_the_model_at_its_customer(in_memory: Found) -> None:
    found = in_memory["customer with its model"]
    assert found["weights float64 final"] > 0
    assert found["constants float64"] > 0
    assert not only(found, "raw", "standardised")


def test_the_search_finds_every_form(evidence: Evidence, needles: Needles, tmp_path: Path) -> None:
    marks = evidence.marks
    kept = {"raw": marks.raw, "standardised": marks.standardised, "weights": np.array(final(evidence))}
    np.savez(
        tmp_path / "kept.npz",
        **{f"{name}_float64": values for name, values in kept.items()},
        **{f"{name}_float32": values.astype("<f4") for name, values in kept.items()},
        **{f"{name}_fixed": fixed_point(values)[1] for name, values in kept.items()},
    )
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "kept.npz")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"holding\n"
        found = needles.find(dump("holder", holder.pid).content)
    for values in ("raw", "standardised"):
        assert {f"{values} {form}" for form in FORMS} <= set(found)
    assert {"raw text", *(f"weights {form} final" for form in FORMS)} <= set(found)
    assert found["weights float64 final"] > 1, "a list of Python's floats was not found beside the array"


def test_nobody_else_holds_any_of_it(in_memory: Found) -> None:
    own = ("marked", "customer")
    others = {name: found for name, found in in_memory.items() if not name.startswith(own)}
    engines = [name for name in others if "engine" in name]
    assert len(engines) == 1 + 3 + 3
    assert {name.split()[0] for name in others} >= {
        "coordinator",
        "chain",
        "labelled",
        "ada",
        "bela",
        "cleo",
        "dora",
    }
    assert {name: found for name, found in others.items() if found} == {}


def test_the_owner_itself_never_holds_the_model(in_memory: Found) -> None:
    own = {name: only(found, "weights") for name, found in in_memory.items() if name.startswith("marked")}
    assert len(own) == 3
    assert not any(own.values()), own


def test_nobody_else_writes_any_of_it(evidence: Evidence, needles: Needles) -> None:
    """Logs, database with its write-ahead log, result store, agents' folders, and MPC nodes' files on tmpfs."""
    names = " ".join(evidence.files)
    for part in (
        "logs/chain.out",
        "logs/marked.log",
        "coordinator.sqlite",
        "coordinator.sqlite-wal",
        "agent.sqlite3",
    ):
        assert part in names, names
    assert "checkpoint-2.bin" in names
    assert names.count("coordinator/results/") >= 3 + 2, (
        "the sealed shares and constants were not there to be searched"
    )
    found = {name: needles.find(content) for name, content in evidence.files.items()}
    assert {name: labels for name, labels in found.items() if labels} == {}
    assert evidence.left_over == []


def test_no_log_has_a_key_password_or_token(evidence: Evidence) -> None:
    logs = {name: content for name, content in evidence.files.items() if "logs/" in name}
    assert len(evidence.credentials) >= 2 + 6 + 4 + 6 + 2
    assert all(len(secret) >= 24 for secret in evidence.credentials.values())
    written = [
        (kind, name) for name, log in logs.items() for kind, secret in evidence.credentials.items()
        if secret.encode() in log
    ]  # fmt: skip
    assert written == []
    assert [name for name, log in logs.items() if b"PRIVATE KEY" in log] == []


@pytest.mark.skipif(
    not permitted(), reason="CAP_NET_RAW is missing: the links between peers were NOT searched; run as root"
)
def test_no_link_carries_any_of_it(evidence: Evidence, needles: Needles) -> None:
    assert evidence.dropped_packets == 0
    found = {ports: needles.find(content) for ports, content in evidence.flows.items()}
    control = {ports: labels for ports, labels in found.items() if evidence.control_port in ports}
    (sent,) = (labels for labels in control.values() if labels)
    assert sent["raw float64"] == sent["raw text"] == ROWS_EACH
    assert only(sent, "weights text")
    assert {ports: labels for ports, labels in found.items() if labels and ports not in control} == {}
    links = {
        ports: len(content) for ports, content in evidence.flows.items() if evidence.peer_ports & set(ports)
    }
    assert sum(size > SHARE_BYTES for size in links.values()) >= 3 + 6, (
        "fewer links than owners and nodes must have"
    )
