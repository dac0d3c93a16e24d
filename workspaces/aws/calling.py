"""How both gateways call AWS: in their turn, in a circuit, with the faults translated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings

from workspaces.aws import clients, pace
from workspaces.aws.faults import Unavailable, translated
from workspaces.aws.patience import Patience
from workspaces.aws.shapes import Place

EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired")
"""What AWS calls credentials that have ended; botocore renews them by its own clock only."""


class Caller:
    """One place, and somebody to tell before each call, which may be slow; `circuit` names a service with its own.

    With `patience` looks that are put off are asked again, else never.
    """

    circuit = ""

    def __init__(
        self, place: Place, *, before_call: Callable[[], None] = lambda: None, patience: Patience | None = None
    ) -> None:
        self._place = place
        self._before_call = before_call
        self._patience = patience

    def account_number(self) -> str:
        """The number of the AWS account in which these calls are made, as AWS itself tells it."""
        client = clients.client_of(self._place, settings.AWS_ENDPOINT_URL, "sts")
        answer: str = self._look(client.get_caller_identity)["Account"]
        return answer

    def _look(self, ask: Callable[..., Any], **asked: Any) -> Any:
        """The answer of a call of boto3 that changes nothing."""
        return self._ask(ask, looking=True, **asked)

    def _ask(self, ask: Callable[..., Any], *, looking: bool = False, **asked: Any) -> Any:
        """The answer of a call that may be repeated once it was put off."""

        def once() -> Any:
            with self._call(looking=looking):
                return ask(**asked)

        return self._patience.of(once) if self._patience else once()

    @contextmanager
    def _call(self, *, looking: bool = False) -> Iterator[None]:
        pace.wait_for_turn(self._place)
        self._before_call()
        try:
            with pace.guarded(self._place, self.circuit), translated(looking=looking):
                yield
        except Unavailable as error:
            if error.code in EXPIRED:
                clients.forget()
            raise


class PagedCaller(Caller):
    """A caller of a client whose lists come in pages with `NextToken`."""

    _client: Any

    def _pages(self, operation: str, member: str, **asked: Any) -> Iterator[Any]:
        """The items of all pages, as they are needed."""
        while True:
            answer = self._look(getattr(self._client, operation), **asked)
            yield from answer.get(member, ())
            token = answer.get("NextToken")
            if not token:
                return
            asked["NextToken"] = token
