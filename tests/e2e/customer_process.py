"""The query customer as a process of its own: orders a model, opens it, and holds it until its standard input ends."""

import json
import sys
from pathlib import Path

import numpy as np

from soterone.client.customer import Customer
from soterone.crypto.accounts import Signer
from soterone.domain.spec import QuerySpec


def main(url: str, rpc_url: str, ca_file: str, folder: str, key: str, training: str) -> None:
    """Print the token, then the model, each as a line of JSON."""
    with Customer.connect(url, Signer.from_key(key), rpc_url, Path(ca_file), Path(folder)) as customer:
        say(token=customer.transport.token)
        datasets = {entry.metadata.name: entry.metadata.id for entry in customer.datasets()}
        document = {
            "name": "secrecy", "algorithm": "vertical-logistic-regression",
            "datasets": [datasets["labelled"], datasets["marked"]],
            "label": {"dataset": datasets["labelled"], "column": "outcome"}, "training": json.loads(training),
        }  # fmt: skip
        query = customer.submit(QuerySpec.model_validate(document))
        query.wait()
        model = query.model()
        weights = np.array(list(model.weights.values()))
        scaling = [[name, *constants] for (_, name), constants in (model.scaling or {}).items()]
        say(query=query.id, weights=weights.tolist(), scaling=scaling, auc=model.metrics["auc"])
        sys.stdin.read()


def say(**line: object) -> None:
    """Print a line of JSON."""
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
