"""What may go wrong in AWS and what it does by itself, and the figures from which examples are drawn."""

from __future__ import annotations

from hypothesis import strategies as st

LOOKS = ("DescribeWorkspaces", "DescribeUserStackAssociations", "DescribeSessions", "DescribeTags")
BATCHED = ("CreateWorkspaces", "StartWorkspaces", "StopWorkspaces", "RebootWorkspaces", "RebuildWorkspaces",
           "TerminateWorkspaces", "BatchAssociateUserStack", "BatchDisassociateUserStack")  # fmt: skip
CHANGES = (*BATCHED, "ModifyWorkspaceProperties", "RestoreWorkspace", "ExpireSession", "CreateUser")
FAULTS = [
    *[("throttling", operation) for operation in (*LOOKS, *CHANGES)],
    *[("timeout_before", operation) for operation in (*LOOKS, *CHANGES)],
    *[("timeout_after", operation) for operation in CHANGES],
    *[("no_op", operation) for operation in CHANGES],
    *[("partial_failure", operation) for operation in BATCHED],
    *[("capacity", operation) for operation in ("CreateWorkspaces", "StartWorkspaces")],
    *[("unhealthy", operation) for operation in ("CreateWorkspaces", "StartWorkspaces", "RebootWorkspaces")],
    *[("access_denied", operation) for operation in ("DescribeWorkspaces", "StopWorkspaces", "CreateWorkspaces")],
    ("resource_limit", "CreateWorkspaces"),
    ("domain_join_failure", "CreateWorkspaces"),
    ("late_visibility", "CreateWorkspaces"),
]
HIDDEN = (("timeout_after", "late_visibility"), ("timeout_after",), ("late_visibility",), ("timeout_before",), ())
"""What may befall the one call that makes a machine, at once."""
BY_ITSELF = ("AVAILABLE", "UNHEALTHY", "IMPAIRED", "MAINTENANCE", "ADMIN_MAINTENANCE", "UPDATING", "REBOOTING",
             "STOPPING", "STOPPED", "STARTING", "SUSPENDED", "ERROR")  # fmt: skip
"""States into which AWS may put a machine that rests in one of them; PENDING and TERMINATING lead one way only."""

PAUSES = (0, 0, 1, 5, 20, 61, 61, 120, 300, 900, 3600, 3661, 6.5 * 3600)
PEOPLE = st.integers(0, 2)
TURNS = st.integers(0, 3)
MODES = st.sampled_from(["AUTO_STOP", "AUTO_STOP", "ALWAYS_ON"])
LIVES = st.one_of(st.none(), st.none(), st.none(), st.integers(1, 500), st.integers(-4, -1))
"""After how many lines a process dies, if it does; below zero, after how many commits."""
