"""The fixtures that every folder of tests may use; each stands in a file of its own under fixtures/."""

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

pytest_plugins = [
    "fixtures.agents",
    "fixtures.chain",
    "fixtures.coordinator",
    "fixtures.database",
    "fixtures.live_coordinator",
    "fixtures.query_world",
]
