"""Puts into an empty database everything that the chain knows: nodes, queries, logs and the follower's cursor.

What the chain never knew stays unknown: specs, profiles, certificates, datasets, sealed results, who acknowledged a
cleanup. Nodes enrol again; a restored query is watched to its end without its spec.
"""
