"""gRPC for agents: parse, authorise, call a manager, answer."""
