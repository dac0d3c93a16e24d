"""What ModifyWorkspaceProperties allows: the rules of the administration guide's page "Modify a WorkSpace"."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from workspaces.simulator.catalog import COMPUTE_TYPES
from workspaces.simulator.errors import AwsError
from workspaces.simulator.machine import HOUR, Machine, Modification, enter

INVALID = "InvalidParameterValuesException"
UP_INTERVAL = 6 * HOUR
DOWN_INTERVAL = 30 * 24 * HOUR
AUTO_STOP_DEFAULT_MINUTES = 60

_FIXED_VOLUMES = {(80, 10), (80, 50), (80, 100)}
_CONVERTIBLE = ("STANDARD", "PERFORMANCE", "POWER", "POWERPRO")
_SUPPORTED = {
    "RunningMode",
    "RunningModeAutoStopTimeoutInMinutes",
    "RootVolumeSizeGib",
    "UserVolumeSizeGib",
    "ComputeTypeName",
}


def modify(machine: Machine, asked: Mapping[str, Any], now: float, durations: Mapping[str, float]) -> Machine:
    """The machine with the asked WorkspaceProperties, or AwsError; hardware takes its new value after MODIFYING."""
    unsupported = sorted(set(asked) - _SUPPORTED)
    if unsupported:
        raise AwsError("UnsupportedWorkspaceConfigurationException", f"Cannot be modified: {', '.join(unsupported)}.")
    if not asked:
        raise AwsError(INVALID, "At least one property to modify is required.")
    if machine.state not in {"AVAILABLE", "STOPPED"}:
        raise AwsError("InvalidResourceStateException", f"A WorkSpace that is {machine.state} cannot be modified.")
    if machine.modification is not None:
        raise AwsError(
            "OperationInProgressException",
            "The properties of this WorkSpace are currently under modification. Please try again in a moment.",
        )
    hardware = {"RootVolumeSizeGib", "UserVolumeSizeGib", "ComputeTypeName"} & set(asked)
    if len(hardware) > 1:
        raise AwsError(INVALID, f"Only one of these can be modified at a time: {', '.join(sorted(hardware))}.")
    machine = _with_running_mode(machine, asked, now, durations)
    if "ComputeTypeName" in asked:
        return _with_compute_type(machine, asked["ComputeTypeName"], now, durations)
    if hardware:
        return _with_volume(machine, asked, now, durations)
    return machine


def running_mode(asked: Mapping[str, Any], *, current: str, current_minutes: int | None) -> tuple[str, int | None]:
    """The running mode and AutoStop time that result, or AwsError with the code that CreateWorkspaces reports."""
    mode = asked.get("RunningMode", current)
    minutes = asked.get("RunningModeAutoStopTimeoutInMinutes")
    if mode == "MANUAL":
        code = "AutoStopTimeoutIsNotDefaultForManualWorkspace" if minutes else "OperationNotSupportedException"
        raise AwsError(code, "The running mode MANUAL is only supported by Amazon WorkSpaces Core.")
    if mode == "ALWAYS_ON":
        if minutes:
            raise AwsError(
                "AutoStopTimeoutIsNotApplicableForAnAlwaysOnWorkspace",
                "RunningModeAutoStopTimeoutInMinutes is not applicable for WorkSpace with running mode set to "
                "ALWAYS_ON.",
            )
        return mode, None
    if minutes is None:
        return mode, current_minutes or AUTO_STOP_DEFAULT_MINUTES
    if minutes < 60 or minutes % 60:
        raise AwsError(INVALID, f"RunningModeAutoStopTimeoutInMinutes is set in 60-minute intervals, not {minutes}.")
    return mode, minutes


def check_volumes(root_gib: int, user_gib: int) -> None:
    """Refuse a pair of volumes that AWS does not offer: 80 with 10, 50 or 100, else 175 to 2000 with 100 to 2000."""
    if (root_gib, user_gib) in _FIXED_VOLUMES or (175 <= root_gib <= 2000 and 100 <= user_gib <= 2000):
        return
    raise AwsError(
        INVALID, f"The volume sizes {root_gib} GiB (root) and {user_gib} GiB (user) are not offered together."
    )


def _with_running_mode(
    machine: Machine, asked: Mapping[str, Any], now: float, durations: Mapping[str, float]
) -> Machine:
    if "RunningMode" not in asked and "RunningModeAutoStopTimeoutInMinutes" not in asked:
        return machine
    try:
        mode, minutes = running_mode(asked, current=machine.running_mode, current_minutes=machine.auto_stop_minutes)
    except AwsError as error:
        raise AwsError(INVALID, error.message) from error
    was_always_on = machine.running_mode == "ALWAYS_ON"
    machine = replace(machine, running_mode=mode, auto_stop_minutes=minutes, running_mode_changed_at=now)
    if mode == "ALWAYS_ON" and machine.state == "STOPPED":
        return enter(machine, "STARTING", now, durations)
    return replace(machine, idle_since=now) if was_always_on and mode == "AUTO_STOP" else machine


def _with_compute_type(machine: Machine, wanted: str, now: float, durations: Mapping[str, float]) -> Machine:
    if wanted not in _CONVERTIBLE or machine.compute_type not in _CONVERTIBLE:
        raise AwsError(
            "UnsupportedWorkspaceConfigurationException",
            f"A WorkSpace cannot be changed from {machine.compute_type} to {wanted}.",
        )
    sizes = list(COMPUTE_TYPES)
    step = sizes.index(wanted) - sizes.index(machine.compute_type)
    if step == 0:
        raise AwsError(INVALID, f"The compute type is {wanted} already.")
    changes = {"compute_type": wanted, "compute_changed_at": now}
    if step > 0:
        _require_interval("compute type", machine.compute_changed_at or machine.created_at, now, UP_INTERVAL)
    else:
        if machine.compute_reduced_at is not None:
            _require_interval("compute type", machine.compute_reduced_at, now, DOWN_INTERVAL)
        changes["compute_reduced_at"] = now
    changed = _modifying(machine, "COMPUTE_TYPE", changes, now, durations)
    return enter(changed, "REBOOTING", now, durations) if machine.state == "AVAILABLE" else changed


def _with_volume(machine: Machine, asked: Mapping[str, Any], now: float, durations: Mapping[str, float]) -> Machine:
    root = asked.get("RootVolumeSizeGib", machine.root_gib)
    user = asked.get("UserVolumeSizeGib", machine.user_gib)
    if root < machine.root_gib or user < machine.user_gib:
        raise AwsError(INVALID, "A volume can only be made larger.")
    if (root, user) == (machine.root_gib, machine.user_gib):
        raise AwsError(INVALID, f"The volumes are {root} GiB (root) and {user} GiB (user) already.")
    check_volumes(root, user)
    if machine.volumes_changed_at is not None:
        _require_interval("volumes", machine.volumes_changed_at, now, UP_INTERVAL)
    resource = "ROOT_VOLUME" if root > machine.root_gib else "USER_VOLUME"
    return _modifying(
        machine, resource, {"root_gib": root, "user_gib": user, "volumes_changed_at": now}, now, durations
    )


def _modifying(
    machine: Machine, resource: str, changes: dict[str, Any], now: float, durations: Mapping[str, float]
) -> Machine:
    under_way = Modification(resource=resource, changes=changes, until=now + durations["MODIFYING"])
    return replace(machine, modification=under_way)


def _require_interval(what: str, last: float, now: float, interval: float) -> None:
    if now - last < interval:
        raise AwsError(
            "UnsupportedWorkspaceConfigurationException",
            f"The {what} can be changed again in {(last + interval - now) / HOUR:.1f} hours.",
        )
