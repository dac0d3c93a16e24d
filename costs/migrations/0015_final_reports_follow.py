"""Let a report go by mail twice: as provisional, and as final once metering has come to the month's end.

Going back fails where both have gone out: what was issued is never deleted.
"""

from django.db import migrations, models

NAME = "costs_issuedreport_mailed_once"


class Migration(migrations.Migration):
    dependencies = [("costs", "0014_late_attribution")]

    operations = [
        migrations.RemoveConstraint(model_name="issuedreport", name=NAME),
        migrations.AddConstraint(
            model_name="issuedreport",
            constraint=models.UniqueConstraint(
                condition=models.Q(("is_scheduled", True)),
                fields=("organization", "month", "team", "kind", "by", "is_provisional"),
                name=NAME,
                nulls_distinct=False,
            ),
        ),
    ]
