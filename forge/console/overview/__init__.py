"""The first page of the console: what whoever looks is responsible for, each figure with the list behind it."""

from forge.console.overview.page import overview

__all__ = ["overview"]
