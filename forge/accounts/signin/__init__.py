"""Signing in: the guard against guessing, sessions, second factors, and identity providers of organizations."""
