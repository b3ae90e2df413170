"""The agent that data owners and MPC nodes run."""
