"""`soter-node`: the agent that data owners and MPC nodes run."""

import typer

from node_agent.commands import datasets
from node_agent.commands.appeals import appeal_command, claims_command
from node_agent.commands.run import run_command
from node_agent.commands.setup import init_command, register_command, unregister_command
from node_agent.commands.status import approve_command, deny_command, status_command

app = typer.Typer(
    help="Run a data owner or an MPC node of a SoterOne network.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
app.command("init")(init_command)
app.command("register")(register_command)
app.command("run")(run_command)
app.add_typer(datasets.app, name="dataset")
app.command("status")(status_command)
app.command("approve")(approve_command)
app.command("deny")(deny_command)
app.command("claims")(claims_command)
app.command("appeal")(appeal_command)
app.command("unregister")(unregister_command)


def main() -> None:
    """Entry point of the command."""
    app()


if __name__ == "__main__":
    main()
