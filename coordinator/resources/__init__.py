"""The resource manager: what nodes can give, and what of it is promised to whom."""
