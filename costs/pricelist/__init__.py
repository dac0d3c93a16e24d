"""AWS's price list: read from AWS or from a file, understood as far as it is unambiguous, and put into the book."""

from costs.pricelist.offers import Kind, Offer, Offers
from costs.pricelist.refreshing import Report, refresh
from costs.pricelist.rows import PriceListBroken, PriceRow

__all__ = ["Kind", "Offer", "Offers", "PriceListBroken", "PriceRow", "Report", "refresh"]
