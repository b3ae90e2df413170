"""Accounts, signed messages, certificates and sealing: thin and typed over eth-account and cryptography."""
