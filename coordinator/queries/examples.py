"""Example bodies for the OpenAPI document; a test parses each with the model that it illustrates."""

from typing import Any, Final

_OWNERS = ("0x70997970C51812dc3A010C7d01b50e0d17dc79C8", "0xF39Fd6e51aad88F6F4ce6aB8827279cffFb92266")
_MPCS = (
    "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65",
    "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
    "0x90F79bf6EB2c4f870365E785982E1f101E93b906",
)
_DATASETS = ("7b1f6f3e-93c5-4a6e-8f0e-4d5f5f0b5a11", "0d9c2f64-5f7b-4a9c-9a4b-2f9b8a3c7e22")
_QUERY_ID = "0x" + "1f" * 32
_SIGNATURE = "0x" + "ab" * 64 + "1b"

PROPOSAL: Final[dict[str, Any]] = {
    "spec": {
        "name": "readmission-risk",
        "purpose": "research",
        "algorithm": "vertical-logistic-regression",
        "datasets": list(_DATASETS),
        "key": "id",
        "label": {"dataset": _DATASETS[0], "column": "malignant"},
        "training": {"epochs": 10, "batch_size": 64, "learning_rate": 0.3, "holdout": 0.2},
        "mpc": {"select": "auto", "minimum_version": "0.1.0"},
    },
    "result_key": "0x01" + "c4" * 32,
    "timers": {"max_run_seconds": 3600},
}

ORDER: Final[dict[str, Any]] = {
    "query_id": _QUERY_ID,
    "order": {
        "customer": "0x976EA74026E726554dB657fA54763abd0C3a0aa9",
        "salt": "0x" + "5a" * 32,
        "spec_hash": "0x" + "7e" * 32,
        "owners": list(_OWNERS),
        "mpcs": list(_MPCS),
        "result_key_hash": "0x" + "9d" * 32,
        "max_run_seconds": 3600,
        "result_retry_seconds": 600,
        "cleanup_grace_seconds": 600,
        "max_replacements": 2,
        "deadline": 1_800_000_000,
    },
    "expires_in_seconds": 600,
}

LAUNCH: Final[dict[str, Any]] = {"query_id": _QUERY_ID, "signature": _SIGNATURE}

ACCEPTED: Final[dict[str, Any]] = {"query_id": _QUERY_ID, "status": "reserved"}

CANCEL: Final[dict[str, Any]] = {"deadline": 1_800_000_000, "signature": _SIGNATURE}

FEEDBACK: Final[dict[str, Any]] = {
    "nodes": [_OWNERS[0], _MPCS[0]],
    "ratings": [100, 80],
    "deadline": 1_800_000_000,
    "signature": _SIGNATURE,
}

EVENT: Final = (
    'id: 7\ndata: {"sequence":7,"kind":"progress","at":"2027-01-15T08:00:00.000Z",'
    f'"data":{{"node":"{_MPCS[0]}","phase":"train","fraction":0.3,"detail":"epoch 3 of 10"}}}}\n\n'
)
