"""The engine on SecretFlow SPU: ABY3 over three MPC nodes, private set intersection between two owners."""
