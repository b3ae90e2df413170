"""Where a query's bytes rest at a node: encrypted on disk, in the clear only on tmpfs, gone after the cleanup."""
