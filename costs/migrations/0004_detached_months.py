"""Months of cost records that are older than their retention are detached, and never change from then on."""

from django.db import migrations

from forge.db.operations import DetachedMonths


class Migration(migrations.Migration):
    dependencies = [("costs", "0003_price_book"), ("db", "0002_archived_months")]

    operations = [DetachedMonths("costs_costrecord", key="period_start")]
