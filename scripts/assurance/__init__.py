"""Assurance of the contracts beyond their tests: proofs, static analysis, mutation, coverage, layouts, gas."""
