"""What SoterOne means, without any I/O: ids, roles, specs, lifecycles, scores and choices as pure functions."""
