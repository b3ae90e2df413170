"""The fixtures that every folder of tests may use; each stands in a file of its own under fixtures/."""

pytest_plugins = [
    "fixtures.agents",
    "fixtures.chain",
    "fixtures.coordinator",
    "fixtures.database",
    "fixtures.live_coordinator",
    "fixtures.query_world",
]
