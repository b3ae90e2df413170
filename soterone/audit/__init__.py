"""The auditor: rebuilds every node, lifecycle and score from the chain's events alone and compares."""
