"""A whole network on this machine: chain, coordinator and agents, each its own process, folder, key and identity."""
