"""The public catalog: a read-only view over datasets, nodes, their use and their standing on chain."""
