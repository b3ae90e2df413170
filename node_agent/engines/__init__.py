"""Computation engines: each run of one is a child process that the agent starts and watches."""
