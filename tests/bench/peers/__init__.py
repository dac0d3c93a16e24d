"""What `audit_insert_vs_peers` compares: the same change with the same twelve fields, through four audit logs.

Each package is one side, run by `child.py` in a process with a settings module of its own, and does what its
documentation says. The peers have the indexes that they come with, Django's own users, and triggers and middleware only
where they need them. None has a hash, a seal or a table that refuses a change.
"""
