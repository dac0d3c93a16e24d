"""How long a signal takes from a place to a region of AWS and back, reckoned from the distance.

An estimate, and marked so wherever it is shown: twice the great circle times STRETCH, at the speed of light in fibre.
Regions are at the city in AWS's name for them (https://aws.amazon.com/about-aws/global-infrastructure/regions_az/, and
the same names in botocore's `endpoints.json`); where AWS names only a state or a country, the city here is our
approximation.
Coordinates: GeoNames (https://www.geonames.org, CC BY 4.0).
"""

from __future__ import annotations

from math import asin, cos, radians, sin, sqrt

from workspaces.regions.places import Point

EARTH_RADIUS_KM = 6371.0
KM_PER_MILLISECOND = 299.792 / 1.468
"""Light in single-mode fibre: the speed in vacuum by the group index of silica fibre at 1550 nm."""
STRETCH = 2.0
"""Cables and routers are no great circles. An assumption, not a measurement; it changes no order among estimates."""

CITIES = {
    "af-south-1": ("Cape Town", Point(-33.93, 18.42)),
    "ap-east-1": ("Hong Kong", Point(22.28, 114.17)),
    "ap-east-2": ("Taipei", Point(25.05, 121.53)),
    "ap-northeast-1": ("Tokyo", Point(35.69, 139.69)),
    "ap-northeast-2": ("Seoul", Point(37.57, 126.98)),
    "ap-northeast-3": ("Osaka", Point(34.69, 135.50)),
    "ap-south-1": ("Mumbai", Point(19.07, 72.88)),
    "ap-south-2": ("Hyderabad", Point(17.38, 78.46)),
    "ap-southeast-1": ("Singapore", Point(1.29, 103.85)),
    "ap-southeast-2": ("Sydney", Point(-33.87, 151.21)),
    "ap-southeast-3": ("Jakarta", Point(-6.21, 106.85)),
    "ap-southeast-4": ("Melbourne", Point(-37.81, 144.96)),
    "ap-southeast-5": ("Kuala Lumpur", Point(3.14, 101.69)),
    "ap-southeast-6": ("Auckland", Point(-36.85, 174.76)),
    "ap-southeast-7": ("Bangkok", Point(13.75, 100.50)),
    "ca-central-1": ("Montréal", Point(45.51, -73.59)),
    "ca-west-1": ("Calgary", Point(51.05, -114.09)),
    "cn-north-1": ("Beijing", Point(39.91, 116.40)),
    "cn-northwest-1": ("Yinchuan", Point(38.47, 106.27)),
    "eu-central-1": ("Frankfurt", Point(50.12, 8.68)),
    "eu-central-2": ("Zürich", Point(47.37, 8.55)),
    "eu-north-1": ("Stockholm", Point(59.33, 18.07)),
    "eu-south-1": ("Milan", Point(45.46, 9.19)),
    "eu-south-2": ("Zaragoza", Point(41.66, -0.88)),
    "eu-west-1": ("Dublin", Point(53.33, -6.25)),
    "eu-west-2": ("London", Point(51.51, -0.13)),
    "eu-west-3": ("Paris", Point(48.85, 2.35)),
    "il-central-1": ("Tel Aviv", Point(32.08, 34.78)),
    "me-central-1": ("Dubai", Point(25.08, 55.31)),
    "me-south-1": ("Manama", Point(26.23, 50.59)),
    "mx-central-1": ("Querétaro", Point(20.59, -100.39)),
    "sa-east-1": ("São Paulo", Point(-23.55, -46.64)),
    "us-east-1": ("Ashburn", Point(39.04, -77.49)),
    "us-east-2": ("Columbus", Point(39.96, -83.00)),
    "us-gov-east-1": ("Columbus", Point(39.96, -83.00)),
    "us-gov-west-1": ("Portland", Point(45.52, -122.68)),
    "us-west-1": ("San Francisco", Point(37.77, -122.42)),
    "us-west-2": ("Portland", Point(45.52, -122.68)),
}


def estimated(point: Point, region: str) -> int | None:
    """Round trip in whole milliseconds, at least 1; None for a region whose city is not known here."""
    if region not in CITIES:
        return None
    return max(1, round(2 * STRETCH * distance_km(point, CITIES[region][1]) / KM_PER_MILLISECOND))


def distance_km(one: Point, other: Point) -> float:
    """The great circle between two points, by the haversine formula."""
    north, south = radians(one.latitude), radians(other.latitude)
    half = sin((south - north) / 2) ** 2
    half += cos(north) * cos(south) * sin(radians(other.longitude - one.longitude) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * asin(min(1.0, sqrt(half)))
