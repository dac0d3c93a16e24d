"""The gateway to WorkSpaces Applications, whose SDK is still called `appstream`.

A machine is a user of the user pool who is associated with a stack: the right to stream what the stack's fleet offers.
AWS gives such an association no id and no tags; it is named `stack/user` here. While the user streams, its state is
AVAILABLE, else STOPPED: the words of DescribeWorkspaces, so that both services read alike.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from django.conf import settings

from workspaces.aws.calling import PagedCaller
from workspaces.aws.clients import client_of
from workspaces.aws.faults import Exists, NotFound, raise_unassociated
from workspaces.aws.patience import Patience
from workspaces.aws.shapes import Connection, Known, Machine, NewMachine, Place, StreamingUrl
from workspaces.aws.sizes import BUNDLE_OF_INSTANCE
from workspaces.capabilities import APPLICATIONS
from workspaces.fleet.seen import Seen

POOL = "USERPOOL"
STREAMING = "API"
"""The authentication type of sessions that began with a streaming URL."""

_USER_ID = re.compile(r"[\w+=,.@-]{2,32}", re.ASCII)
_PAGE_OF_SESSIONS = 50
_PAGE_OF_ASSOCIATIONS = 500


class ApplicationsGateway(PagedCaller):
    """WorkSpaces Applications in one account and region; each method makes several calls.

    Raises Unavailable when there are no credentials to call with.
    """

    capabilities = APPLICATIONS
    circuit = "appstream"

    def __init__(
        self, place: Place, *, before_call: Callable[[], None] = lambda: None, patience: Patience | None = None
    ) -> None:
        super().__init__(place, before_call=before_call, patience=patience)
        self._client = client_of(place, settings.AWS_ENDPOINT_URL, "appstream")

    def find(self, *, directory_id: str, user_name: str) -> Machine | None:
        """The machine of a user of a stack, or None when the two are not associated."""
        if not list(self._associated(directory_id, UserName=user_name, AuthenticationType=POOL)):
            return None
        fleet = self._fleet(directory_id)
        streams = self._sessions(directory_id, fleet, user_name)
        return _machine(directory_id, user_name, fleet, is_streaming=bool(streams))

    def describe(self, provider_ids: Sequence[str]) -> dict[str, Machine]:
        """The machines with these ids, by id, in as few calls as AWS allows; what is gone is left out."""
        found: dict[str, Machine] = {}
        for stack, users in _by_stack(provider_ids).items():
            found |= self.stack(stack).machines([machine_id(stack, user) for user in users])
        return found

    def stack(self, name: str) -> StackLook:
        """All that AWS shows of a stack, each of its lists asked for once."""
        users = Seen()
        users.add(self._associated(name))
        fleet = self._fleet(name)
        return StackLook(name, users, fleet, {one["UserId"]: one for one in self._sessions(name, fleet)})

    def look(self, known: Known) -> Machine | None:
        """One machine; an association is there or not, and AWS is asked for this very one."""
        return self.find(directory_id=known.directory_id, user_name=known.user_name)

    def connections(self, provider_ids: Sequence[str]) -> dict[str, Connection]:
        """Who streams now or has just left, by id; AWS forgets sessions that have ended."""
        found: dict[str, Connection] = {}
        for stack, users in _by_stack(provider_ids).items():
            fleet = self._fleet(stack)
            sessions = {one["UserId"]: one for one in self._sessions(stack, fleet)}
            look = StackLook(stack, Seen(), fleet, sessions)
            found |= look.connections([machine_id(stack, user) for user in users])
        return found

    def create(self, wanted: NewMachine) -> Machine:
        """Make the user, if the pool has none, and associate it with the stack; to repeat it changes nothing.

        The pool sends the user no mail: the way in is a streaming URL. Raises any of the family.
        """
        stack, user = wanted.directory_id, wanted.user_name
        with suppress(Exists), self._call():
            self._client.create_user(UserName=user, AuthenticationType=POOL, MessageAction="SUPPRESS")
        with self._call():
            answer = self._client.batch_associate_user_stack(UserStackAssociations=[_association(stack, user)])
        raise_unassociated(answer)
        return _machine(stack, user, self._fleet(stack), is_streaming=False)

    def start(self, provider_id: str) -> None:
        """Nothing is to be done: a session starts when its streaming URL is opened."""

    def stop(self, provider_id: str) -> None:
        """End the sessions of a machine, with all that was open in them."""
        stack, user = parts(provider_id)
        for session in self._sessions(stack, self._fleet(stack), user):
            with self._call():
                self._client.expire_session(SessionId=session["Id"])

    def terminate(self, provider_id: str) -> None:
        """End the sessions and take the right away. The user stays in the pool, where other stacks may need it."""
        self.stop(provider_id)  # first: once the right is gone, nobody looks for its sessions any more
        stack, user = parts(provider_id)
        with self._call():
            answer = self._client.batch_disassociate_user_stack(UserStackAssociations=[_association(stack, user)])
        raise_unassociated(answer)

    def streaming_url(self, provider_id: str, *, application_id: str, seconds: int) -> StreamingUrl:
        """An address that opens a session, good for a short while.

        Raises NotReady while the fleet does not run, NotFound without a fleet.
        """
        stack, user = parts(provider_id)
        fleet = self._fleet(stack)
        if fleet is None:
            raise NotFound("NoFleet", f"The stack {stack} has no fleet")
        answer = self._look(
            self._client.create_streaming_url,
            StackName=stack,
            FleetName=fleet["Name"],
            UserId=streaming_user(user),
            ApplicationId=application_id,
            Validity=seconds,
        )
        return StreamingUrl(answer["StreamingURL"], answer["Expires"])

    def has_place(self, directory_id: str) -> bool:
        """Whether AWS shows the stack to whom we are there, as one of this account: names repeat in others."""
        try:
            shown = list(self._pages("describe_stacks", "Stacks", Names=[directory_id]))
        except NotFound:
            return False
        return any(_account_of(stack.get("Arn", "")) == self._place.account for stack in shown)

    def _associated(self, stack: str, **user: str) -> Iterator[str]:
        """The users who are associated with a stack: all, or the one asked for; nobody with one that is gone."""
        asked = {"StackName": stack, "MaxResults": _PAGE_OF_ASSOCIATIONS, **user}
        with suppress(NotFound):
            for row in self._pages("describe_user_stack_associations", "UserStackAssociations", **asked):
                if row["AuthenticationType"] == POOL:
                    yield row["UserName"]

    def _fleet(self, stack: str) -> Mapping[str, Any] | None:
        """The fleet of a stack as DescribeFleets shows it; AWS allows a stack one. None where either is gone."""
        try:
            names = list(self._pages("list_associated_fleets", "Names", StackName=stack))
            return next(iter(self._pages("describe_fleets", "Fleets", Names=names[:1])), None) if names else None
        except NotFound:
            return None

    def _sessions(
        self, stack: str, fleet: Mapping[str, Any] | None, user: str | None = None
    ) -> list[Mapping[str, Any]]:
        if fleet is None:
            return []
        asked: dict[str, Any] = {"StackName": stack, "FleetName": fleet["Name"], "Limit": _PAGE_OF_SESSIONS}
        if user is not None:
            asked |= {"UserId": streaming_user(user), "AuthenticationType": STREAMING}
        running = self._pages("describe_sessions", "Sessions", **asked)
        return [session for session in running if session["State"] == "ACTIVE"]


class StackLook:
    """What AWS showed of one stack: whoever may use it, in eight bytes each, and the sessions that run."""

    def __init__(
        self, stack: str, users: Seen, fleet: Mapping[str, Any] | None, sessions: Mapping[str, Mapping[str, Any]]
    ) -> None:
        self._stack, self._users, self._fleet, self._sessions = stack, users, fleet, sessions

    def machines(self, provider_ids: Sequence[str]) -> dict[str, Machine]:
        """The machines of the stack with these ids, by id; what is gone is left out."""
        users = {one: parts(one)[1] for one in provider_ids}
        return {
            one: _machine(self._stack, user, self._fleet, is_streaming=streaming_user(user) in self._sessions)
            for one, user in users.items()
            if user in self._users
        }

    def connections(self, provider_ids: Sequence[str]) -> dict[str, Connection]:
        """Who of them streams now or has just left, by id."""
        sessions = {one: self._sessions.get(streaming_user(parts(one)[1])) for one in provider_ids}
        return {
            one: Connection(one, session.get("ConnectionState") == "CONNECTED", session.get("StartTime"))
            for one, session in sessions.items()
            if session is not None
        }


def machine_id(stack: str, user: str) -> str:
    """How a machine is named; the name of a stack has no slash."""
    return f"{stack}/{user}"


def parts(provider_id: str) -> tuple[str, str]:
    """Stack and user of a machine."""
    stack, _, user = provider_id.partition("/")
    return stack, user


def _account_of(arn: str) -> str:
    """The number of the account in an ARN: arn:partition:service:region:account:resource."""
    return next(iter(arn.split(":")[4:5]), "")


def streaming_user(user: str) -> str:
    """The UserId of a user's sessions: the name itself where it fits into AWS's 32 characters, else a digest of it."""
    if _USER_ID.fullmatch(user):
        return user
    return "forge-" + hashlib.sha256(user.lower().encode()).hexdigest()[:26]


def _by_stack(provider_ids: Sequence[str]) -> dict[str, set[str]]:
    users: dict[str, set[str]] = defaultdict(set)
    for provider_id in provider_ids:
        stack, user = parts(provider_id)
        users[stack].add(user)
    return users


def _association(stack: str, user: str) -> dict[str, Any]:
    return {"StackName": stack, "UserName": user, "AuthenticationType": POOL}


def _machine(stack: str, user: str, fleet: Mapping[str, Any] | None, *, is_streaming: bool) -> Machine:
    """The machine as one of DescribeWorkspaces; an instance that is as large as no bundle keeps AWS's own name."""
    instance = fleet.get("InstanceType", "") if fleet else ""
    return Machine(
        provider_id=machine_id(stack, user),
        directory_id=stack,
        user_name=user,
        state="AVAILABLE" if is_streaming else "STOPPED",
        bundle_id=fleet["Name"] if fleet else "",
        bundle_type=BUNDLE_OF_INSTANCE.get(instance, instance),
        running_mode="AUTO_STOP",
        ip_address=None,
        error="" if fleet else "the stack has no fleet",
    )
