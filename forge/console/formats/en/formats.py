"""Times as the log, the commands and the API write them, to the second and with their zone; not `Nov. 28, 6 p.m.`."""

DATE_FORMAT = "Y-m-d"
TIME_FORMAT = "H:i:s"
DATETIME_FORMAT = "Y-m-d H:i:s T"
