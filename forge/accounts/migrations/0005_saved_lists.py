"""Filters of the console's lists that people save under a name, each for themselves."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import forge.db.ids


class Migration(migrations.Migration):
    dependencies = [("accounts", "0004_services_and_networks")]

    operations = [
        migrations.CreateModel(
            name="SavedList",
            fields=[
                ("id", models.UUIDField(default=forge.db.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "model_label",
                    models.CharField(help_text="Whose list it is, such as workspaces.workspace.", max_length=100),
                ),
                ("name", models.CharField(max_length=60)),
                (
                    "query",
                    models.CharField(
                        help_text="The part of the list's address behind the question mark.", max_length=2000
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT,
                        related_name="+", to="accounts.organization",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="saved_lists",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("user", "model_label", "name"), name="accounts_savedlist_one_per_name"
                    ),
                    models.CheckConstraint(
                        condition=~models.Q(name="") & ~models.Q(query=""),
                        name="accounts_savedlist_is_named_and_filters",
                    ),
                ],
            },
        ),
    ]  # fmt: skip
