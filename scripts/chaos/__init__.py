"""Chaos: a network of real processes in which one thing after another breaks, and what must hold after each."""
