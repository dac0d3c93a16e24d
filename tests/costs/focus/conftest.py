from tests.costs.bills.fixtures import account, fleet, give, of_months  # noqa: F401
