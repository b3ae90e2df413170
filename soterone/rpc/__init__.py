"""Encrypted RPC: the protocol definitions, their generated stubs, and channels that know whom they talk to."""
