"""The agent's errors: each carries one public sentence and the exit status that a command ends with."""


class AgentError(Exception):
    """Something was refused or failed; the text says what to do. Commands exit 1."""

    exit_status = 1


class WrongUsage(AgentError):
    """Arguments that cannot mean anything. Commands exit 2."""

    exit_status = 2


class Unreachable(AgentError):
    """The coordinator or the chain does not answer. Commands exit 3."""

    exit_status = 3
