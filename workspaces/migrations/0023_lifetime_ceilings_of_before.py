"""Since when each policy's lifetime ceiling holds, and those it had before it was tightened.

`effective_at` moves with every ceiling of a policy, so whoever changed an idle time put off all ends under it. The
ceilings that stand count from there once more: nothing is known of their past.
"""

import django.db.models.functions.datetime
import django.utils.timezone
from django.db import migrations, models

FORWARD = "UPDATE workspaces_lifecyclepolicy SET lifetime_since = effective_at"


class Migration(migrations.Migration):
    dependencies = [("workspaces", "0022_keep_alives_put_aside")]

    operations = [
        migrations.AddField(
            model_name="lifecyclepolicy",
            name="lifetime_before",
            field=models.JSONField(
                db_default=[],
                default=list,
                editable=False,
                help_text="Longer lifetimes that were allowed before, as days and since when; they end machines still.",
            ),
        ),
        migrations.AddField(
            model_name="lifecyclepolicy",
            name="lifetime_since",
            field=models.DateTimeField(
                db_default=django.db.models.functions.datetime.Now(),
                default=django.utils.timezone.now,
                editable=False,
                help_text="Since when no longer lifetime was allowed.",
            ),
        ),
        migrations.RunSQL(FORWARD, migrations.RunSQL.noop),
    ]
