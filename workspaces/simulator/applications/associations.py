"""What belongs together: fleets and stacks, applications and Elastic fleets."""

from workspaces.simulator.applications.common import (
    APPLICATION_FLEET,
    ASSOCIATION,
    COMBINATION,
    FLEET,
    STACK,
    Answer,
    Request,
    existing,
    page,
    pair,
    pairs,
)
from workspaces.simulator.applications.images import application_of
from workspaces.simulator.applications.sessions import of_fleet
from workspaces.simulator.errors import AwsError
from workspaces.simulator.world import Place

NOT_PERMITTED = "OperationNotPermittedException"


def associate_fleet(place: Place, now: float, request: Request) -> Answer:
    fleet, stack = request["FleetName"], request["StackName"]
    existing(place, FLEET, fleet)
    existing(place, STACK, stack)
    others = [one for one, other in pairs(place, ASSOCIATION) if other == stack and one != fleet]
    if others:
        raise AwsError("LimitExceededException", f"The stack {stack} is associated with the fleet {others[0]}.")
    place.commit(now=now, records={(ASSOCIATION, pair(fleet, stack)): {}})
    return {}


def disassociate_fleet(place: Place, now: float, request: Request) -> Answer:
    fleet, stack = request["FleetName"], request["StackName"]
    existing(place, FLEET, fleet)
    existing(place, STACK, stack)
    if any(session["stack"] == stack for session in of_fleet(place, now, fleet).values()):
        raise AwsError("ResourceInUseException", f"Users stream from the fleet {fleet} over the stack {stack}.")
    place.commit(now=now, records={(ASSOCIATION, pair(fleet, stack)): None})
    return {}


def list_associated_fleets(place: Place, now: float, request: Request) -> Answer:
    del now
    found = [fleet for fleet, stack in pairs(place, ASSOCIATION) if stack == request["StackName"]]
    return page("Names", found, request, question={"ListAssociatedFleets": request["StackName"]})


def list_associated_stacks(place: Place, now: float, request: Request) -> Answer:
    del now
    found = [stack for fleet, stack in pairs(place, ASSOCIATION) if fleet == request["FleetName"]]
    return page("Names", found, request, question={"ListAssociatedStacks": request["FleetName"]})


def associate_application_fleet(place: Place, now: float, request: Request) -> Answer:
    fleet, arn = request["FleetName"], request["ApplicationArn"]
    if existing(place, FLEET, fleet)["settings"]["FleetType"] != "ELASTIC":
        raise AwsError(NOT_PERMITTED, "Applications can be associated with Elastic fleets only.")
    application_of(place, arn)
    place.commit(now=now, records={(APPLICATION_FLEET, pair(fleet, arn)): {}})
    return {"ApplicationFleetAssociation": {"FleetName": fleet, "ApplicationArn": arn}}


def disassociate_application_fleet(place: Place, now: float, request: Request) -> Answer:
    name = pair(request["FleetName"], request["ApplicationArn"])
    if place.record(APPLICATION_FLEET, name) is None:
        raise AwsError(NOT_PERMITTED, "The application is not associated with the fleet.")
    place.commit(now=now, records={(APPLICATION_FLEET, name): None})
    return {}


def describe_application_fleet_associations(place: Place, now: float, request: Request) -> Answer:
    del now
    fleet, arn = request.get("FleetName"), request.get("ApplicationArn")
    if fleet is None and arn is None:
        raise AwsError(COMBINATION, "FleetName or ApplicationArn is required.")
    found = [
        {"FleetName": one, "ApplicationArn": other}
        for one, other in pairs(place, APPLICATION_FLEET)
        if fleet in (None, one) and arn in (None, other)
    ]
    member = "ApplicationFleetAssociations"
    question = {"DescribeApplicationFleetAssociations": fleet, "ApplicationArn": arn}
    answer = page(member, found, request, question=question, size=min(request.get("MaxResults") or 25, 25))
    return answer if answer[member] else {}  # the model's list has at least one item
