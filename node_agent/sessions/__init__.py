"""A query's life inside an agent: from the offer over the order and the computation to the cleanup."""
