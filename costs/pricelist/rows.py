"""One figure of AWS's price list, whichever form it came in.

The bulk files and GetProducts have the same content: products with attributes, and terms with price dimensions
(docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/price-changes.html, "Reading the price list"). A CSV file has one
line for each price dimension, a JSON document has products and terms apart; names of attributes differ in case and
blanks alone ("Operating System", operatingSystem), so they are compared without either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any


class PriceListBroken(Exception):
    """What was read is no price list of AWS, or is damaged; says where."""


@dataclass(frozen=True)
class PriceRow:
    """One price dimension with the attributes of its product; `place` is where it stands, for people.

    Attributes are lower case without blanks; `amount` is per `unit` (lower case) in `currency`.
    """

    sku: str
    family: str
    attributes: Mapping[str, str]
    term: str
    unit: str
    amount: Decimal
    currency: str
    first: str
    last: str
    effective_at: datetime
    place: str

    def says(self, name: str) -> str:
        """The attribute of that name, empty when the product has none."""
        return self.attributes.get(name, "")


def plain(name: str) -> str:
    """A name of an attribute or column as it is compared."""
    return name.replace(" ", "").replace("_", "").lower()


def amount_of(text: str, place: str) -> Decimal:
    """A figure such as 9.7500000000; raises PriceListBroken for anything else."""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite():
        raise PriceListBroken(f"{place}: {text[:40]!r} is no amount.")
    return amount


def instant_of(text: str, place: str) -> datetime:
    """An instant or a day as price lists have them (2026-11-01T00:00:00Z, 2026-11-01)."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise PriceListBroken(f"{place}: {text[:40]!r} is no date.") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def rows_of_product(product: Mapping[str, Any], terms: Mapping[str, Any], place: str) -> Iterator[PriceRow]:
    """The figures of one product; `terms` is term type → key → term. Raises PriceListBroken."""
    try:
        sku = product["sku"]
        attributes = {plain(name): str(value).strip() for name, value in product["attributes"].items()}
        for term, offered in terms.items():
            for offer in offered.values():
                since = instant_of(offer["effectiveDate"], place)
                for dimension in offer["priceDimensions"].values():
                    for currency, text in dimension["pricePerUnit"].items():
                        yield PriceRow(
                            sku=sku,
                            family=product.get("productFamily", ""),
                            attributes=attributes,
                            term=term,
                            unit=str(dimension.get("unit", "")).lower(),
                            amount=amount_of(str(text), place),
                            currency=currency,
                            first=str(dimension.get("beginRange", "0")),
                            last=str(dimension.get("endRange", "Inf")),
                            effective_at=since,
                            place=f"{place}, SKU {sku}",
                        )
    except (KeyError, AttributeError, TypeError) as error:
        raise PriceListBroken(f"{place}: a product or term is not as AWS has them ({error!r}).") from None
