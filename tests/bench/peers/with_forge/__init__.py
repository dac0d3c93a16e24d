"""Forge: the same machine, and the entry by `audit.services.record` in the same transaction."""
