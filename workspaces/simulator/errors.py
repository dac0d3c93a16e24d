"""The one way in which the simulator refuses: an AWS error code and its message."""


class AwsError(Exception):
    """A refusal as AWS words it: either the whole call's error or one item of FailedRequests."""

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


def failed(workspace_id: str, error: AwsError) -> dict[str, str]:
    """One item of FailedRequests of a batch that changes machines."""
    return {"WorkspaceId": workspace_id, "ErrorCode": error.code, "ErrorMessage": error.message}
