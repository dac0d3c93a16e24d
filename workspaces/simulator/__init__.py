"""A small server that speaks the AWS WorkSpaces wire protocol; RULES.md lists what it does and where that comes from.

It imports nothing from Forge, so that it stays a stand-in for AWS and not a mirror of our own assumptions.
"""
