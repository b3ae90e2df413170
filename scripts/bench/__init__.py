"""Benches: ratios to a baseline in the same run, and the floors that the project promises."""
