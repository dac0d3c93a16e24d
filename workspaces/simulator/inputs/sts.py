"""The inputs of the Security Token Service."""

from workspaces.simulator.shape import Integer, ListOf, Structure, Text

_ARN_TYPE = Text(
    pattern=r"[\u0009\u000A\u000D\u0020-\u007E\u0085\u00A0-\uD7FF\uE000-\uFFFD\u10000-\u10FFFF]+",
    minimum=20,
    maximum=2048,
)
_TAG_KEY_TYPE = Text(pattern=r"[\p{L}\p{Z}\p{N}_.:/=+\-@]+", minimum=1, maximum=128)

STS = {
    "AssumeRole": Structure(
        {
            "RoleArn": _ARN_TYPE,
            "RoleSessionName": Text(pattern=r"[\w+=,.@-]*", minimum=2, maximum=64),
            "PolicyArns": ListOf(Structure({"arn": _ARN_TYPE})),
            "Policy": Text(pattern=r"[\u0009\u000A\u000D\u0020-\u00FF]+", minimum=1),
            "DurationSeconds": Integer(minimum=900, maximum=43200),
            "Tags": ListOf(
                Structure(
                    {
                        "Key": _TAG_KEY_TYPE,
                        "Value": Text(pattern=r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*", minimum=0, maximum=256),
                    },
                    required=("Key", "Value"),
                ),
                maximum=50,
            ),
            "TransitiveTagKeys": ListOf(_TAG_KEY_TYPE, maximum=50),
            "ExternalId": Text(pattern=r"[\w+=,.@:\/-]*", minimum=2, maximum=1224),
            "SerialNumber": Text(pattern=r"[\w+=/:,.@-]*", minimum=9, maximum=256),
            "TokenCode": Text(pattern=r"[\d]*", minimum=6, maximum=6),
            "SourceIdentity": Text(pattern=r"[\w+=,.@-]*", minimum=2, maximum=64),
            "ProvidedContexts": ListOf(
                Structure({"ProviderArn": _ARN_TYPE, "ContextAssertion": Text(minimum=4, maximum=2048)}),
                minimum=1,
                maximum=5,
            ),
            "MinimumSessionTokenSize": Integer(minimum=0, maximum=4096),
        },
        required=("RoleArn", "RoleSessionName"),
    ),
    "GetCallerIdentity": Structure({}),
}
