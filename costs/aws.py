"""AWS's price list over its API: the only part of this room that talks to boto3."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
from botocore.config import Config
from django.conf import settings

from costs.pricelist.rows import PriceListBroken, PriceRow, rows_of_product
from forge.metrics.aws import count_calls
from workspaces.aws.faults import translated

ENDPOINT_REGION = "us-east-1"
"""The price list is served in few regions only, for all of them (docs: AWS Price List Query API endpoints)."""


def price_rows(service: str, region: str) -> Iterator[PriceRow]:
    """The figures of a list (AmazonWorkSpaces, AmazonAppStream) in that region, page by page.

    GetProducts, needs `pricing:GetProducts`.

    Raises the family of workspaces.aws.AwsError, PriceListBroken.
    """
    client = _client()
    asked: dict[str, Any] = {
        "ServiceCode": service,
        "FormatVersion": "aws_v1",
        "Filters": [{"Type": "TERM_MATCH", "Field": "regionCode", "Value": region}],
    }
    while True:
        with translated(looking=True):
            page = client.get_products(**asked)
        for text in page.get("PriceList", ()):
            yield from _rows(text)
        if not page.get("NextToken"):
            return
        asked["NextToken"] = page["NextToken"]


def _rows(text: str) -> Iterator[PriceRow]:
    try:
        item = json.loads(text)
        product, terms = item["product"], item["terms"]
    except (ValueError, KeyError, TypeError) as error:
        raise PriceListBroken(f"GetProducts: an item is not as AWS has them ({error!r}).") from None
    yield from rows_of_product(product, terms, "GetProducts")


def _client() -> Any:
    with translated(looking=True):
        client = boto3.session.Session(region_name=ENDPOINT_REGION).client(
            "pricing",
            endpoint_url=settings.AWS_ENDPOINT_URL,
            config=Config(
                connect_timeout=settings.FORGE_AWS_CONNECT_TIMEOUT,
                read_timeout=settings.FORGE_AWS_READ_TIMEOUT,
                retries={"mode": "standard", "total_max_attempts": 5},
            ),
        )
    count_calls(client.meta.events)
    return client
