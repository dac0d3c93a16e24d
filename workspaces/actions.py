"""Audit action types of this room."""

from audit.evidence import expect
from audit.registry import register

WORKSPACE_PROVISION = register("WORKSPACE_PROVISION")
WORKSPACE_START = register("WORKSPACE_START")
WORKSPACE_STOP = register("WORKSPACE_STOP")
WORKSPACE_TERMINATE = register("WORKSPACE_TERMINATE")
WORKSPACE_MODIFY = register("WORKSPACE_MODIFY")
WORKSPACE_TAG = register("WORKSPACE_TAG", personal=("tags",))
WORKSPACE_MOVE = register("WORKSPACE_MOVE", required=("resource_id",), personal=("reason",))
WORKSPACE_REBOOT = register("WORKSPACE_REBOOT")
WORKSPACE_REBUILD = register("WORKSPACE_REBUILD")
WORKSPACE_RESTORE = register("WORKSPACE_RESTORE")
WORKSPACE_BULK = register("WORKSPACE_BULK")
WORKSPACE_BULK_OUTCOME = register("WORKSPACE_BULK_OUTCOME")
WORKSPACE_KEEP_ALIVE = register("WORKSPACE_KEEP_ALIVE", personal=("reason",))
WORKSPACE_EXTEND = register("WORKSPACE_EXTEND", personal=("reason",))
WORKSPACE_LEASE = register("WORKSPACE_LEASE", personal=("reason",))
WORKSPACE_AUTO_STOP = register("WORKSPACE_AUTO_STOP")
WORKSPACE_STALE = register("WORKSPACE_STALE")
WORKSPACE_CONNECT = register("WORKSPACE_CONNECT")
WORKSPACE_STATE_CHANGE = register("WORKSPACE_STATE_CHANGE")
WORKSPACE_DRIFT = register("WORKSPACE_DRIFT")
WORKSPACE_ERROR = register("WORKSPACE_ERROR")
WORKSPACE_LAUNCH_OUTCOME = register("WORKSPACE_LAUNCH_OUTCOME")
WORKSPACE_START_OUTCOME = register("WORKSPACE_START_OUTCOME")
WORKSPACE_STOP_OUTCOME = register("WORKSPACE_STOP_OUTCOME")
WORKSPACE_TERMINATE_OUTCOME = register("WORKSPACE_TERMINATE_OUTCOME")
WORKSPACE_MODIFY_OUTCOME = register("WORKSPACE_MODIFY_OUTCOME")
WORKSPACE_TAG_OUTCOME = register("WORKSPACE_TAG_OUTCOME")
WORKSPACE_REBOOT_OUTCOME = register("WORKSPACE_REBOOT_OUTCOME")
WORKSPACE_REBUILD_OUTCOME = register("WORKSPACE_REBUILD_OUTCOME")
WORKSPACE_RESTORE_OUTCOME = register("WORKSPACE_RESTORE_OUTCOME")
WORKSPACE_ADOPT = register("WORKSPACE_ADOPT")
FLEET_ADOPT = register("FLEET_ADOPT")
FLEET_ADOPT_OUTCOME = register("FLEET_ADOPT_OUTCOME")
WORKSPACE_QUARANTINE = register("WORKSPACE_QUARANTINE", required=("resource_id",))
WORKSPACE_QUARANTINE_END = register("WORKSPACE_QUARANTINE_END", required=("resource_id",))
WORKSPACE_HAND_OVER = register("WORKSPACE_HAND_OVER", required=("resource_id",), personal=("reason",))
FINDING_OPEN = register("FINDING_OPEN")
FINDING_RESOLVE = register("FINDING_RESOLVE")
ATTESTATION_CREATE = register("ATTESTATION_CREATE", personal=("note",))
ATTESTATION_WITHDRAW = register("ATTESTATION_WITHDRAW", personal=("note",))
PROVIDER_ACCOUNT_CREATE = register("PROVIDER_ACCOUNT_CREATE")
PROVIDER_ACCOUNT_UPDATE = register("PROVIDER_ACCOUNT_UPDATE")
LIFECYCLE_POLICY_CREATE = register("LIFECYCLE_POLICY_CREATE")
LIFECYCLE_POLICY_UPDATE = register("LIFECYCLE_POLICY_UPDATE")
REGION_LATENCY_CREATE = register("REGION_LATENCY_CREATE")
REGION_LATENCY_UPDATE = register("REGION_LATENCY_UPDATE")
REGION_POLICY_CREATE = register("REGION_POLICY_CREATE")
REGION_POLICY_UPDATE = register("REGION_POLICY_UPDATE")
APPLICATION_STACK_OFFER = register("APPLICATION_STACK_OFFER")
APPLICATION_STACK_WITHDRAW = register("APPLICATION_STACK_WITHDRAW")
APPLICATION_STACK_CLOSE = register("APPLICATION_STACK_CLOSE")

_REQUESTS = {
    "launch": WORKSPACE_PROVISION,
    "start": WORKSPACE_START,
    "stop": WORKSPACE_STOP,
    "terminate": WORKSPACE_TERMINATE,
    "modify": WORKSPACE_MODIFY,
    "tag": WORKSPACE_TAG,
    "reboot": WORKSPACE_REBOOT,
    "rebuild": WORKSPACE_REBUILD,
    "restore": WORKSPACE_RESTORE,
    "bulk": WORKSPACE_BULK,
}

expect("workspaces_finding", actions=[FINDING_OPEN], at="found_at")
expect("workspaces_attestation", actions=[ATTESTATION_CREATE], at="attested_at")
expect("workspaces_provideraccount", actions=[PROVIDER_ACCOUNT_CREATE])
expect("workspaces_lifecyclepolicy", actions=[LIFECYCLE_POLICY_CREATE])
expect("workspaces_regionlatency", actions=[REGION_LATENCY_CREATE])
expect("workspaces_regionpolicy", actions=[REGION_POLICY_CREATE])
expect("workspaces_worklease", actions=[WORKSPACE_LEASE], names="workspace_id", after={"lease_id": "id"})
expect("workspaces_applicationstack", actions=[APPLICATION_STACK_OFFER])
expect("workspaces_workspace", actions=[WORKSPACE_PROVISION, WORKSPACE_ADOPT])
expect(
    "workspaces_statechange",
    actions=[*_REQUESTS.values(), WORKSPACE_ADOPT, WORKSPACE_STATE_CHANGE],
    names="correlation_id",
    by_correlation=True,
    at="recorded_at",
)
for _verb, _action in _REQUESTS.items():
    expect(
        "operations_operation",
        only=("kind", f"workspace.{_verb}"),
        actions=[_action, WORKSPACE_MOVE] if _verb == "tag" else [_action],
        names="correlation_id",
        by_correlation=True,
    )
expect(
    "operations_operation",
    only=("kind", "fleet.adopt"),
    actions=[FLEET_ADOPT],
    names="correlation_id",
    by_correlation=True,
)
