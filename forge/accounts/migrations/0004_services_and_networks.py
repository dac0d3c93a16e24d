"""Service accounts, networks of tokens, and one person per identity at the organization's provider.

Database defaults stay on the new columns, so that workers of the release before can still add people and tokens.
"""

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_sessions_and_guards"),
    ]

    operations = [
        migrations.AddField(
            model_name="apitoken",
            name="networks",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=43),
                blank=True,
                default=list,
                db_default=[],
                help_text="Networks (CIDR) from which it may be used; empty = from everywhere.",
                size=None,
            ),
        ),
        migrations.AddField(
            model_name="user",
            name="kind",
            field=models.CharField(
                choices=[("PERSON", "Person"), ("SERVICE", "Service")],
                default="PERSON",
                db_default="PERSON",
                max_length=10,
            ),
        ),
        migrations.AddConstraint(
            model_name="apitoken",
            constraint=models.CheckConstraint(
                condition=models.Func(
                    models.F("networks"),
                    output_field=models.BooleanField(),
                    template="%(expressions)s::cidr[] IS NOT NULL",
                ),
                name="accounts_apitoken_networks_are_cidr",
            ),
        ),
        migrations.AddConstraint(
            model_name="user",
            constraint=models.UniqueConstraint(
                condition=models.Q(("external_id", ""), _negated=True),
                fields=("organization", "external_id"),
                name="accounts_user_external_id_unique",
            ),
        ),
        migrations.AddConstraint(
            model_name="user",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("kind", "PERSON"),
                    models.Q(
                        ("directory_username", ""),
                        ("kind", "SERVICE"),
                        ("organization__isnull", False),
                        ("password__startswith", "!"),
                    ),
                    _connector="OR",
                ),
                name="accounts_user_service_has_no_password",
            ),
        ),
    ]
