"""The demo: a network of its own, one query from registration to cleanup, told as it happens."""
