"""CreateTags, DescribeTags, and GetResources of the tagging API."""

from typing import Any

import pytest

from tests.workspaces.simulator.cloud import Cloud, refused
from workspaces.simulator import catalog
from workspaces.simulator.wire import DEFAULT_ACCOUNT


def _tag(key: str, value: str = "") -> dict[str, str]:
    return {"Key": key, "Value": value}


def _arn(workspace_id: str) -> str:
    return f"arn:aws:workspaces:us-east-1:{DEFAULT_ACCOUNT}:workspace/{workspace_id}"


def _arns(answer: dict[str, Any]) -> list[str]:
    return [mapping["ResourceARN"] for mapping in answer["ResourceTagMappingList"]]


def test_new_tags_are_added_and_known_keys_take_the_new_value(cloud: Cloud) -> None:
    workspace_id = cloud.launch("ann", Tags=[_tag("a", "1"), _tag("b", "1")])
    cloud.api.create_tags(ResourceId=workspace_id, Tags=[_tag("b", "2"), {"Key": "c"}])
    listed = cloud.api.describe_tags(ResourceId=workspace_id)["TagList"]
    assert listed == [_tag("a", "1"), _tag("b", "2"), _tag("c", "")]


def test_directories_and_own_bundles_can_be_tagged_and_amazons_cannot(cloud: Cloud) -> None:
    for resource_id in (cloud.directory_id, cloud.bundle_id()):
        cloud.api.create_tags(ResourceId=resource_id, Tags=[_tag("a")])
        assert cloud.api.describe_tags(ResourceId=resource_id)["TagList"] == [_tag("a")]
    with refused("ResourceNotFoundException"):
        cloud.api.create_tags(ResourceId=cloud.bundle_id("STANDARD", "ubuntu-22-04"), Tags=[_tag("a")])


def test_what_does_not_exist_or_no_longer_exists_has_no_tags(cloud: Cloud) -> None:
    workspace_id = cloud.launch("ann", Tags=[_tag("a")])
    cloud.terminate(workspace_id)
    for resource_id in ("ws-000000000", workspace_id, "x"):
        with refused("ResourceNotFoundException"):
            cloud.api.describe_tags(ResourceId=resource_id)
        with refused("ResourceNotFoundException"):
            cloud.api.create_tags(ResourceId=resource_id, Tags=[_tag("a")])


def test_a_resource_has_at_most_50_tags(cloud: Cloud) -> None:
    workspace_id = cloud.launch("ann", Tags=[_tag(f"k{number}") for number in range(50)])
    cloud.api.create_tags(ResourceId=workspace_id, Tags=[_tag("k0", "new")])
    with refused("ResourceLimitExceededException"):
        cloud.api.create_tags(ResourceId=workspace_id, Tags=[_tag("k50")])
    assert len(cloud.api.describe_tags(ResourceId=workspace_id)["TagList"]) == 50


def test_get_resources_lists_what_is_tagged_with_all_its_tags(cloud: Cloud) -> None:
    ann = cloud.launch("ann", Tags=[_tag("team", "red"), _tag("forge", "1")])
    cloud.launch("bob")
    cloud.api.create_tags(ResourceId=cloud.directory_id, Tags=[_tag("team", "red")])
    listed = cloud.tagging.get_resources()
    assert listed["PaginationToken"] == ""
    assert listed["ResourceTagMappingList"] == [
        {"ResourceARN": _arn(ann), "Tags": [_tag("team", "red"), _tag("forge", "1")]},
        {
            "ResourceARN": f"arn:aws:workspaces:us-east-1:{DEFAULT_ACCOUNT}:directory/{cloud.directory_id}",
            "Tags": [_tag("team", "red")],
        },
    ]


def test_tag_filters_are_all_met_each_by_one_of_its_values(cloud: Cloud) -> None:
    red = cloud.launch("ann", Tags=[_tag("team", "red"), _tag("forge", "1")])
    blue = cloud.launch("bob", Tags=[_tag("team", "blue")])
    get = cloud.tagging.get_resources
    assert _arns(get(TagFilters=[{"Key": "team"}])) == [_arn(red), _arn(blue)]
    assert _arns(get(TagFilters=[{"Key": "team", "Values": ["blue", "green"]}])) == [_arn(blue)]
    assert _arns(get(TagFilters=[{"Key": "team"}, {"Key": "forge", "Values": ["1"]}])) == [_arn(red)]
    assert _arns(get(TagFilters=[{"Key": "Team"}])) == []


def test_resource_types_are_a_service_or_a_service_and_a_type(cloud: Cloud) -> None:
    ann = cloud.launch("ann", Tags=[_tag("a")])
    cloud.api.create_tags(ResourceId=cloud.directory_id, Tags=[_tag("a")])
    get = cloud.tagging.get_resources
    assert len(_arns(get(ResourceTypeFilters=["workspaces"]))) == 2
    assert _arns(get(ResourceTypeFilters=["workspaces:workspace", "ec2"])) == [_arn(ann)]
    assert _arns(get(ResourceTypeFilters=["ec2:instance"])) == []


def test_get_resources_pages_lead_to_everything(cloud: Cloud) -> None:
    tagged = [_arn(cloud.launch(f"user{number}", Tags=[_tag("a")])) for number in range(7)]
    pages = list(cloud.tagging.get_paginator("get_resources").paginate(ResourcesPerPage=3))
    assert [len(page["ResourceTagMappingList"]) for page in pages] == [3, 3, 1]
    assert [arn for page in pages for arn in _arns(page)] == tagged


def test_pages_by_tags_never_split_a_resource(cloud: Cloud) -> None:
    tags = [_tag(f"k{number}") for number in range(40)]
    for number in range(5):
        cloud.launch(f"user{number}", Tags=tags)
    pages = list(cloud.tagging.get_paginator("get_resources").paginate(TagsPerPage=100))
    assert [len(page["ResourceTagMappingList"]) for page in pages] == [2, 2, 1]


def test_a_list_of_arns_gives_those_that_exist(cloud: Cloud) -> None:
    ann = cloud.launch("ann", Tags=[_tag("a")])
    assert _arns(cloud.tagging.get_resources(ResourceARNList=[_arn(ann), _arn("ws-000000000")])) == [_arn(ann)]


def test_a_terminated_machine_leaves_get_resources(cloud: Cloud) -> None:
    cloud.terminate(cloud.launch("ann", Tags=[_tag("a")]))
    assert _arns(cloud.tagging.get_resources()) == []


def test_compliance_is_told_when_asked_and_everything_complies(cloud: Cloud) -> None:
    cloud.launch("ann", Tags=[_tag("a")])
    get = cloud.tagging.get_resources
    (mapping,) = get(IncludeComplianceDetails=True)["ResourceTagMappingList"]
    assert mapping["ComplianceDetails"]["ComplianceStatus"] is True
    assert _arns(get(IncludeComplianceDetails=True, ExcludeCompliantResources=True)) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"ResourceARNList": [_arn("ws-000000000")], "TagFilters": [{"Key": "a"}]},
        {"ResourceARNList": [_arn("ws-000000000")], "ResourcesPerPage": 10},
        {"ResourcesPerPage": 101},
        {"ResourcesPerPage": 0},
        {"TagsPerPage": 150},
        {"PaginationToken": "x"},
        {"ExcludeCompliantResources": True},
        {"TagFilters": [{"Values": ["a"]}]},
    ],
)
def test_contradictory_questions_are_invalid(cloud: Cloud, wrong: dict[str, Any]) -> None:
    with refused("InvalidParameterException"):
        cloud.tagging.get_resources(**wrong)


@pytest.mark.parametrize(
    ("region", "partition"), [("eu-west-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")]
)
def test_arns_name_the_partition_of_the_region(region: str, partition: str) -> None:
    arn = catalog.arn("123456789012", region, "ws-000000000")
    assert arn == f"arn:{partition}:workspaces:{region}:123456789012:workspace/ws-000000000"


def test_tags_are_deleted_by_key_and_unknown_keys_are_no_fault(cloud: Cloud) -> None:
    workspace_id = cloud.launch("ann", Tags=[{"Key": key, "Value": ""} for key in "abc"])
    cloud.api.delete_tags(ResourceId=workspace_id, TagKeys=["a", "c", "z"])
    assert cloud.api.describe_tags(ResourceId=workspace_id)["TagList"] == [{"Key": "b", "Value": ""}]
    with refused("ResourceNotFoundException"):
        cloud.api.delete_tags(ResourceId="ws-000000000", TagKeys=["a"])


@pytest.mark.parametrize("tag", [{"Key": "k" * 128, "Value": ""}, {"Key": "k", "Value": "v" * 256}])
def test_keys_hold_127_characters_and_values_255(cloud: Cloud, tag: dict[str, str]) -> None:
    workspace_id = cloud.launch("ann")
    with refused("ValidationException"):
        cloud.api.create_tags(ResourceId=workspace_id, Tags=[tag])
    fitting = {"Key": tag["Key"][:127], "Value": tag["Value"][:255]}
    cloud.api.create_tags(ResourceId=workspace_id, Tags=[fitting])
    assert cloud.api.describe_tags(ResourceId=workspace_id)["TagList"] == [fitting]


@pytest.mark.parametrize("tag", [_tag("aws:x"), _tag("AWS:x"), _tag("x", "aws:"), _tag("x", "Aws:workspaces:1")])
def test_neither_keys_nor_values_begin_with_aws_in_any_case(cloud: Cloud, tag: dict[str, str]) -> None:
    workspace_id = cloud.launch("ann")
    with refused("InvalidParameterValuesException"):
        cloud.api.create_tags(ResourceId=workspace_id, Tags=[_tag("a"), tag])
    assert cloud.api.describe_tags(ResourceId=workspace_id)["TagList"] == []
    within = _tag(f"x-{tag['Key']}", f"x-{tag['Value']}")
    cloud.api.create_tags(ResourceId=workspace_id, Tags=[within])
    assert cloud.api.describe_tags(ResourceId=workspace_id)["TagList"] == [within]


TAKEN = "Größe 7½ 東京 _.:/=+-@"
FOREIGN = ["#", "&", ",", "(", "!", "*", "\\", "'", "%", "\t", "\n", "\u00a0", "\u0301", "€", "😀"]


def test_letters_numbers_spaces_and_nine_signs_are_taken(cloud: Cloud) -> None:
    workspace_id = cloud.launch("ann", Tags=[_tag(TAKEN, TAKEN)])
    cloud.api.create_tags(ResourceId=workspace_id, Tags=[_tag(f"{TAKEN}2", f"@{TAKEN}")])
    assert cloud.api.describe_tags(ResourceId=workspace_id)["TagList"] == [
        _tag(TAKEN, TAKEN),
        _tag(f"{TAKEN}2", f"@{TAKEN}"),
    ]


@pytest.mark.parametrize("text", [*(f"a{sign}b" for sign in FOREIGN), " a", "a ", " "])
def test_other_signs_and_outer_spaces_are_refused_in_keys_and_values(cloud: Cloud, text: str) -> None:
    workspace_id = cloud.launch("ann")
    for tag in (_tag(text), _tag("a", text)):
        with refused("InvalidParameterValuesException"):
            cloud.api.create_tags(ResourceId=workspace_id, Tags=[_tag("b"), tag])
        with refused("InvalidParameterValuesException"):
            cloud.create(cloud.request("bob", Tags=[tag]))
    assert cloud.api.describe_tags(ResourceId=workspace_id)["TagList"] == []


@pytest.mark.parametrize("tags", [{"k" * 129: ""}, {"k": "v" * 257}, {"a#b": ""}, {"a": "b#c"}])
def test_tags_of_stacks_hold_128_and_256_of_the_same_characters(cloud: Cloud, tags: dict[str, str]) -> None:
    api = cloud.applications
    with refused("ValidationException"):
        api.create_stack(Name="stack", Tags=tags)
    fitting = {key[:128].replace("#", TAKEN): value[:256].replace("#", TAKEN) for key, value in tags.items()}
    arn = api.create_stack(Name="stack", Tags=fitting)["Stack"]["Arn"]
    with refused("ValidationException"):
        api.tag_resource(ResourceArn=arn, Tags=tags)
    assert api.list_tags_for_resource(ResourceArn=arn)["Tags"] == fitting
