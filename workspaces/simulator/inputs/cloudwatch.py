"""The inputs of CloudWatch."""

from workspaces.simulator.shape import Boolean, Integer, ListOf, Structure, Text, Timestamp

_PERIOD = Integer(minimum=1)
_STANDARD_UNIT = Text(
    values=(
        "Seconds",
        "Microseconds",
        "Milliseconds",
        "Bytes",
        "Kilobytes",
        "Megabytes",
        "Gigabytes",
        "Terabytes",
        "Bits",
        "Kilobits",
        "Megabits",
        "Gigabits",
        "Terabits",
        "Percent",
        "Count",
        "Bytes/Second",
        "Kilobytes/Second",
        "Megabytes/Second",
        "Gigabytes/Second",
        "Terabytes/Second",
        "Bits/Second",
        "Kilobits/Second",
        "Megabits/Second",
        "Gigabits/Second",
        "Terabits/Second",
        "Count/Second",
        "None",
    )
)
_SCAN_BY = Text(values=("TimestampDescending", "TimestampAscending"))

CLOUDWATCH = {
    "GetMetricData": Structure(
        {
            "MetricDataQueries": ListOf(
                Structure(
                    {
                        "Id": Text(minimum=1, maximum=255),
                        "MetricStat": Structure(
                            {
                                "Metric": Structure(
                                    {
                                        "Namespace": Text(pattern="[^:].*", minimum=1, maximum=255),
                                        "MetricName": Text(minimum=1, maximum=255),
                                        "Dimensions": ListOf(
                                            Structure(
                                                {
                                                    "Name": Text(minimum=1, maximum=255),
                                                    "Value": Text(minimum=1, maximum=1024),
                                                },
                                                required=("Name", "Value"),
                                            ),
                                            maximum=30,
                                        ),
                                    }
                                ),
                                "Period": _PERIOD,
                                "Stat": Text(),
                                "Unit": _STANDARD_UNIT,
                            },
                            required=("Metric", "Period", "Stat"),
                        ),
                        "Expression": Text(minimum=1, maximum=2048),
                        "Label": Text(),
                        "ReturnData": Boolean(),
                        "Period": _PERIOD,
                        "AccountId": Text(minimum=1, maximum=255),
                    },
                    required=("Id",),
                )
            ),
            "StartTime": Timestamp(),
            "EndTime": Timestamp(),
            "NextToken": Text(),
            "ScanBy": _SCAN_BY,
            "MaxDatapoints": Integer(),
            "LabelOptions": Structure({"Timezone": Text()}),
        },
        required=("MetricDataQueries", "StartTime", "EndTime"),
    ),
}
