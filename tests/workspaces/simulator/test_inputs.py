"""The simulator's hand-written inputs and operations against botocore's own model of AWS."""

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.model import Shape as ModelShape
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workspaces.simulator.cloud import Cloud, refused
from workspaces.simulator.errors import AwsError
from workspaces.simulator.inputs import WORKSPACES
from workspaces.simulator.services import BY_TARGET, STS, Service
from workspaces.simulator.shape import Boolean, Integer, ListOf, MapOf, Shape, Structure, Text, Timestamp, checked


def _model(service: str) -> ServiceModel:
    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


MODELS = {
    "WorkspacesService": _model("workspaces"),
    "PhotonAdminProxyService": _model("appstream"),
    "ResourceGroupsTaggingAPI_20170126": _model("resourcegroupstaggingapi"),
    "GraniteServiceVersion20100801": _model("cloudwatch"),
    "sts": _model("sts"),
}
SERVICES: dict[str, Service] = BY_TARGET | {"sts": STS}
OPERATIONS = [(prefix, name) for prefix, service in SERVICES.items() for name in service.inputs]


def _as_ours(shape: ModelShape) -> Shape:
    """Botocore's shape in the simulator's words."""
    limits = {"minimum": shape.metadata.get("min"), "maximum": shape.metadata.get("max")}
    match shape.type_name:
        case "structure":
            members = {name: _as_ours(member) for name, member in shape.members.items()}
            return Structure(members, required=tuple(shape.required_members))
        case "list":
            return ListOf(_as_ours(shape.member), **limits)
        case "string":
            return Text(pattern=shape.metadata.get("pattern"), values=tuple(shape.enum), **limits)
        case "integer" | "long":
            return Integer(**limits)
        case "timestamp":
            return Timestamp()
        case "map":
            return MapOf(_as_ours(shape.key), _as_ours(shape.value), **limits)
        case "boolean":
            return Boolean()
    raise AssertionError(shape)


@pytest.mark.parametrize(("prefix", "name"), OPERATIONS)
def test_input_of_each_operation_is_that_of_botocore(prefix: str, name: str) -> None:
    shape = MODELS[prefix].operation_model(name).input_shape
    assert SERVICES[prefix].inputs[name] == (Structure() if shape is None else _as_ours(shape))


def test_services_are_addressed_and_signed_as_botocore_does_it() -> None:
    for prefix, model in MODELS.items():
        assert model.metadata.get("targetPrefix", prefix) == prefix
        assert model.signing_name == SERVICES[prefix].signing_name


def test_boto3_still_chooses_the_protocols_that_the_simulator_speaks() -> None:
    chosen = {prefix: (model.resolved_protocol, model.metadata.get("jsonVersion")) for prefix, model in MODELS.items()}
    assert chosen == {
        "WorkspacesService": ("json", "1.1"),
        "PhotonAdminProxyService": ("json", "1.1"),
        "ResourceGroupsTaggingAPI_20170126": ("json", "1.1"),
        "GraniteServiceVersion20100801": ("json", "1.0"),
        "sts": ("query", None),
    }


def test_each_operation_has_an_input_and_a_handler() -> None:
    for service in SERVICES.values():
        assert set(service.inputs) == set(service.handlers)


def test_a_broken_constraint_is_a_validation_exception_that_names_value_member_and_constraint() -> None:
    with pytest.raises(AwsError) as caught:
        checked(WORKSPACES["DescribeWorkspaces"], {"WorkspaceIds": ["ws-UPPER"], "Limit": 26})
    assert caught.value.code == "ValidationException"
    assert caught.value.message == (
        "2 validation errors detected: Value 'ws-UPPER' at 'workspaceIds.1.member' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: ^ws-[0-9a-z]{8,63}$; Value '26' at 'limit' failed to satisfy "
        "constraint: Member must have value less than or equal to 25"
    )


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ({}, "at 'workspaces' failed to satisfy constraint: Member must not be null"),
        ({"Workspaces": []}, "length greater than or equal to 1"),
        (
            {"Workspaces": [{"DirectoryId": "d-0123456789", "BundleId": "wsb-012345678"}]},
            "'workspaces.1.member.userName'",
        ),
        ({"Workspaces": [{"UserName": "x" * 64}]}, "length less than or equal to 63"),
        ({"Workspaces": [{"WorkspaceProperties": {"RunningMode": "SOMETIMES"}}]}, "[AUTO_STOP, ALWAYS_ON, MANUAL]"),
        ({"Workspaces": [{"BundleId": "wsb-012345678\n"}]}, "regular expression"),
    ],
)
def test_each_kind_of_constraint_is_checked(body: dict, part: str) -> None:
    with pytest.raises(AwsError) as caught:
        checked(WORKSPACES["CreateWorkspaces"], body)
    assert part in caught.value.message


@pytest.mark.parametrize(
    "body", [[], "x", 1, {"Workspaces": {}}, {"Workspaces": [3]}, {"Workspaces": [{"UserName": 1}]}]
)
def test_a_value_of_the_wrong_type_is_a_serialization_exception(body: object) -> None:
    with pytest.raises(AwsError) as caught:
        checked(WORKSPACES["CreateWorkspaces"], body)
    assert caught.value.code == "SerializationException"


def test_unknown_members_and_nulls_are_ignored() -> None:
    assert checked(WORKSPACES["DescribeTags"], {"ResourceId": "ws-1", "Colour": "red"}) == {"ResourceId": "ws-1"}
    assert checked(WORKSPACES["DescribeWorkspaces"], {"DirectoryId": None}) == {}


_NAMES = st.sampled_from(["Workspaces", "WorkspaceIds", "UserName", "Limit", "Tags", "Key", "NextToken"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 100) | st.sampled_from(["", "ws-012345678", "x" * 300, "\x00"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=50)
@given(body=_JSON, operation=st.sampled_from(OPERATIONS))
def test_any_json_is_either_accepted_or_refused_as_aws_does_it(body: object, operation: tuple[str, str]) -> None:
    prefix, name = operation
    assert _code(prefix, name, body) in {None, "ValidationException", "SerializationException"}


def _code(prefix: str, name: str, body: object) -> str | None:
    try:
        checked(SERVICES[prefix].inputs[name], body)
    except AwsError as error:
        return error.code
    return None


@pytest.mark.parametrize("operation", ["create", "start", "stop", "reboot", "terminate"])
def test_a_batch_of_more_than_25_is_refused_whole(cloud: Cloud, operation: str) -> None:
    many = [f"ws-{number:09d}" for number in range(26)]
    with refused("ValidationException"):
        if operation == "create":
            cloud.create(*(cloud.request(f"user{number}") for number in range(26)))
        else:
            getattr(cloud, operation)(*many)
    assert cloud.api.describe_workspaces()["Workspaces"] == []
