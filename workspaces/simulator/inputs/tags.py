"""The inputs of tags, in WorkSpaces and in the Resource Groups Tagging API."""

from workspaces.simulator.shape import Boolean, Integer, ListOf, Structure, Text

_NON_EMPTY_STRING = Text(minimum=1)

TAGS = {
    "CreateTags": Structure(
        {
            "ResourceId": _NON_EMPTY_STRING,
            "Tags": ListOf(
                Structure({"Key": Text(minimum=1, maximum=127), "Value": Text(maximum=255)}, required=("Key",))
            ),
        },
        required=("ResourceId", "Tags"),
    ),
    "DeleteTags": Structure(
        {"ResourceId": _NON_EMPTY_STRING, "TagKeys": ListOf(_NON_EMPTY_STRING)}, required=("ResourceId", "TagKeys")
    ),
    "DescribeTags": Structure({"ResourceId": _NON_EMPTY_STRING}, required=("ResourceId",)),
}


TAGGING = {
    "GetResources": Structure(
        {
            "PaginationToken": Text(pattern=r"[\s\S]*", minimum=0, maximum=2048),
            "TagFilters": ListOf(
                Structure(
                    {
                        "Key": Text(pattern=r"[\s\S]*", minimum=1, maximum=128),
                        "Values": ListOf(Text(pattern=r"[\s\S]*", minimum=0, maximum=256), minimum=0, maximum=20),
                    }
                ),
                minimum=0,
                maximum=50,
            ),
            "ResourcesPerPage": Integer(),
            "TagsPerPage": Integer(),
            "ResourceTypeFilters": ListOf(Text(pattern=r"[\s\S]*", minimum=0, maximum=256)),
            "IncludeComplianceDetails": Boolean(),
            "ExcludeCompliantResources": Boolean(),
            "ResourceARNList": ListOf(Text(pattern=r"[\s\S]*", minimum=1, maximum=1011), minimum=1, maximum=100),
        }
    ),
}
