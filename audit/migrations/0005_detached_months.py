"""Months of the log that are older than its retention are detached, and stay append-only and readable until dropped."""

from django.db import migrations

from forge.db.operations import DetachedMonths

PERSONAL = ("user_email", "source_ip", "user_agent", "personal", "salt")


class Migration(migrations.Migration):
    dependencies = [("audit", "0004_holds"), ("db", "0002_archived_months")]

    operations = [DetachedMonths("audit_auditlog", key="timestamp", allow_update_of=PERSONAL)]
