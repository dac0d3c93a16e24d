"""AWS's price lists: read from AWS or from a file, understood as far as unambiguous, and put into the book."""

from costs.pricelist.applications import ApplicationOffers
from costs.pricelist.collecting import Kind, Offer, Offers
from costs.pricelist.offers import PersonalOffers
from costs.pricelist.refreshing import Report, refresh
from costs.pricelist.rows import PriceListBroken, PriceRow

__all__ = [
    "ApplicationOffers",
    "Kind",
    "Offer",
    "Offers",
    "PersonalOffers",
    "PriceListBroken",
    "PriceRow",
    "Report",
    "refresh",
]
