"""Specs as people write them, right and wrong."""

import pytest

from soterone.domain.spec import QuerySpec, SpecError, json_schema, parse_spec

A, B, C = (
    "2f9cface-7482-45f0-8af6-b9d2d6e2267d",
    "4555a974-c6a3-4740-b6bb-1427cf6a05c6",
    "0" * 8 + "-0000-0000-0000-" + "0" * 12,
)
GOOD = f"""
name: readmission-risk
algorithm: vertical-logistic-regression
datasets: [{A}, {B}]
label: {{dataset: {A}, column: malignant}}
"""


def test_yaml_and_json_of_the_same_spec_have_the_same_hash() -> None:
    spec = parse_spec(GOOD)
    assert parse_spec(spec.canonical()) == spec
    assert parse_spec(spec.model_dump_json()).hash == spec.hash


def test_the_hash_covers_every_field() -> None:
    spec = parse_spec(GOOD)
    others = [
        spec.model_copy(update={"name": "other"}),
        spec.model_copy(update={"training": spec.training.model_copy(update={"seed": 1})}),
        spec.model_copy(update={"features": {A: ["x"]}}),
    ]
    assert len({spec.hash, *(other.hash for other in others)}) == 4


def test_named_nodes_need_no_select() -> None:
    nodes = [f"0x{digit * 40}" for digit in "123"]
    assert parse_spec(GOOD + f"mpc: {{nodes: {nodes}}}").mpc.select == "named"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("- a", "must be a mapping"),
        ("name: [", "neither JSON nor YAML"),
        ("[" * 10_000, "nested too deeply"),
        (
            GOOD.replace("vertical-", "diagonal-"),
            "unknown algorithm 'diagonal-logistic-regression'; this network runs",
        ),
        (GOOD.replace(f"[{A}, {B}]", f"[{A}, {A}]"), "the same dataset is listed twice"),
        (GOOD.replace(f"dataset: {A}", f"dataset: {C}"), f"dataset {C} is used but not listed"),
        (GOOD + "training: {epochs: 0}", "training.epochs: Input should be greater than or equal to 1"),
        (GOOD + "training: {learning_rate: .nan}", "training.learning_rate"),
        (GOOD + "colour: blue", "colour: Extra inputs are not permitted"),
        (GOOD + "mpc: {nodes: ['0x" + "1" * 40 + "']}", "name three different nodes"),
        (GOOD.replace("malignant", '"a\\u202Eb"'), "label.column"),
    ],
)
def test_a_bad_spec_is_told_where_and_why(text: str, complaint: str) -> None:
    with pytest.raises(SpecError, match=complaint.replace("[", r"\[")):
        parse_spec(text)


def test_keys_and_features_are_found_by_dataset() -> None:
    spec = parse_spec(GOOD + f"key: {{{A}: patient}}\nfeatures: {{{A}: [x, y]}}")
    assert (spec.key_of(A), spec.key_of(B)) == ("patient", "id")
    assert (spec.features_of(A), spec.features_of(B)) == (["x", "y"], None)


def test_the_published_schema_names_every_field() -> None:
    assert set(json_schema()["properties"]) == set(QuerySpec.model_fields)
