"""The links to the other participants of a query, each end checked against the chain."""
