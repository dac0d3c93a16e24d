"""The images and applications that every account has from the start."""

from dataclasses import dataclass
from typing import Any

from workspaces.simulator import catalog
from workspaces.simulator.applications.common import COMBINATION, Answer, Request, not_found, page
from workspaces.simulator.errors import AwsError
from workspaces.simulator.world import Place

_CREATED_AT = 1_735_689_600  # 2025-01-01T00:00:00Z


@dataclass(frozen=True, slots=True)
class Application:
    name: str
    label: str
    path: str


@dataclass(frozen=True, slots=True)
class Image:
    name: str
    label: str
    platform: str
    is_public: bool
    applications: tuple[str, ...] = ()


APPLICATIONS = {
    one.name: one
    for one in (
        Application("code-editor", "Code editor", "C:\\Program Files\\Editor\\editor.exe"),
        Application("office-suite", "Office suite", "C:\\Program Files\\Office\\office.exe"),
        Application("cad-viewer", "CAD viewer", "C:\\Program Files\\CAD\\viewer.exe"),
        Application("web-browser", "Web browser", "C:\\Program Files\\Browser\\browser.exe"),
    )
}
IMAGES = {
    one.name: one
    for one in (
        Image("AppStream-WinServer2022-01-01-2025", "Windows Server 2022", "WINDOWS_SERVER_2022", True),
        Image("AppStream-WinServer2019-01-01-2025", "Windows Server 2019", "WINDOWS_SERVER_2019", True),
        Image("engineering-apps-1", "Engineering", "WINDOWS_SERVER_2022", False, ("code-editor", "cad-viewer")),
        Image("office-apps-1", "Office", "WINDOWS_SERVER_2022", False, ("office-suite", "web-browser")),
    )
}


def image_arn(place: Place, image: Image) -> str:
    """AWS's own images belong to no account."""
    return catalog.arn("" if image.is_public else place.account, place.region, f"image/{image.name}")


def application_arn(account: str, region: str, name: str) -> str:
    """The ARN of an application of the catalog; ValueError for one that does not exist."""
    if name not in APPLICATIONS:
        raise ValueError(f"No application {name!r}; there are {', '.join(APPLICATIONS)}.")
    return catalog.arn(account, region, f"application/{name}")


def application_of(place: Place, arn: str) -> Application:
    """The application with an ARN; ResourceNotFoundException."""
    for one in APPLICATIONS.values():
        if application_arn(place.account, place.region, one.name) == arn:
            return one
    raise not_found(f"The application {arn} does not exist.")


def find_image(place: Place, request: Request) -> Image | None:
    """The image that a fleet asks for by name or ARN, None where it asks for none."""
    if "ImageName" in request and "ImageArn" in request:
        raise AwsError(COMBINATION, "ImageName and ImageArn cannot be combined.")
    if "ImageName" not in request and "ImageArn" not in request:
        return None
    for image in IMAGES.values():
        if request.get("ImageName") == image.name or request.get("ImageArn") == image_arn(place, image):
            return image
    raise not_found(f"The image {request.get('ImageName', request.get('ImageArn'))} does not exist.")


def describe_images(place: Place, now: float, request: Request) -> Answer:
    del now
    if "Names" in request and "Arns" in request:
        raise AwsError(COMBINATION, "Names and Arns cannot be combined.")
    names, arns, visibility = request.get("Names"), request.get("Arns"), request.get("Type")
    found = [_show_image(place, image) for image in IMAGES.values()]
    known = {image["Name"] for image in found} | {image["Arn"] for image in found}
    missing = [name for name in (*(names or ()), *(arns or ())) if name not in known]
    if missing:
        raise not_found(f"The image {missing[0]} does not exist.")
    wanted = [
        image
        for image in found
        if (not names or image["Name"] in names)
        and (not arns or image["Arn"] in arns)
        and visibility in (None, image["Visibility"])
    ]
    question = {"DescribeImages": names, "Arns": arns, "Type": visibility}
    return page("Images", wanted, request, question=question, size=request.get("MaxResults") or 25)


def describe_applications(place: Place, now: float, request: Request) -> Answer:
    del now
    arns = request.get("Arns")
    found = [application_of(place, arn) for arn in arns] if arns else list(APPLICATIONS.values())
    shown = [show_application(place, one) for one in found]
    size = request.get("MaxResults") or 25
    return page("Applications", shown, request, question={"DescribeApplications": arns}, size=size)


def show_application(place: Place, one: Application) -> dict[str, Any]:
    return {
        "Name": one.name,
        "DisplayName": one.label,
        "LaunchPath": one.path,
        "Enabled": True,
        "Arn": application_arn(place.account, place.region, one.name),
        "Platforms": ["WINDOWS_SERVER_2019"],
        "InstanceFamilies": ["GENERAL_PURPOSE"],
        "CreatedTime": _CREATED_AT,
    }


def _show_image(place: Place, image: Image) -> dict[str, Any]:
    return {
        "Name": image.name,
        "Arn": image_arn(place, image),
        "DisplayName": image.label,
        "State": "AVAILABLE",
        "Visibility": "PUBLIC" if image.is_public else "PRIVATE",
        "ImageBuilderSupported": True,
        "Platform": image.platform,
        "Applications": [show_application(place, APPLICATIONS[name]) for name in image.applications],
        "CreatedTime": _CREATED_AT,
    }
