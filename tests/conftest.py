"""The fixtures that every folder of tests may use; each stands in a file of its own under fixtures/."""

pytest_plugins = ["fixtures.agents", "fixtures.chain", "fixtures.database", "fixtures.query_world"]
