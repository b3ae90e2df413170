"""Customers' accounts: signing in, tokens, leaving."""
