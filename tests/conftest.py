"""Fixtures that every test may use; the servers behind them are started by tests/plugins/servers.py."""

from tests.plugins.database import django_db_setup, make_app_connection, superuser_connection
from tests.plugins.scale import scale

__all__ = ["django_db_setup", "make_app_connection", "scale", "superuser_connection"]
