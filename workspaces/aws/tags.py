"""The tags of machines of WorkSpaces Personal: one by one, and of many in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workspaces.aws.calling import Caller
from workspaces.aws.faults import reading_tags

TAGGED_BATCH = 100
"""GetResources takes at most this many resources in one call."""


class Tags(Caller):
    """What a gateway can do about tags; it brings the clients."""

    _client: Any
    _tagging: Any

    def tags_of(self, provider_ids: Sequence[str]) -> dict[str, dict[str, str]]:
        """The tags of machines by id, a hundred machines to a call; what has none is left out.

        AWS's index behind it follows late: what is written now may show in a while only.
        """
        arn = f"arn:{_partition(self._place.region)}:workspaces:{self._place.region}:{self._place.account}:workspace/"
        found: dict[str, dict[str, str]] = {}
        for start in range(0, len(provider_ids), TAGGED_BATCH):
            with reading_tags():
                answer = self._look(
                    self._tagging.get_resources,
                    ResourceARNList=[arn + provider_id for provider_id in provider_ids[start : start + TAGGED_BATCH]],
                )
            for row in answer["ResourceTagMappingList"]:
                tags = {tag["Key"]: tag["Value"] for tag in row["Tags"]}
                found[row["ResourceARN"].removeprefix(arn)] = tags
        return found

    def tags(self, provider_id: str) -> dict[str, str]:
        """The tags of a machine."""
        answer = self._look(self._client.describe_tags, ResourceId=provider_id)
        return {tag["Key"]: tag.get("Value", "") for tag in answer["TagList"]}

    def put_tags(self, provider_id: str, tags: Mapping[str, str]) -> None:
        """Add tags to a machine or give them other values; the others stay. To repeat it changes nothing."""
        with self._call():
            self._client.create_tags(ResourceId=provider_id, Tags=tag_list(tags))

    def remove_tags(self, provider_id: str, keys: Sequence[str]) -> None:
        """Take tags off a machine; those that it does not have are passed over."""
        with self._call():
            self._client.delete_tags(ResourceId=provider_id, TagKeys=list(keys))


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags in AWS's form, by key."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def _partition(region: str) -> str:
    """The partition of AWS in which a region lies, as it stands in ARNs."""
    return {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(region.rsplit("-", 2)[0], "aws")
