"""Close the functions that append: whoever may connect to the database may not write into the log.

`forge.db.grants` opens them to the application's roles after every `migrate`.
"""

from django.db import migrations

FORWARD = "REVOKE EXECUTE ON FUNCTION audit_append, audit_append_many FROM PUBLIC;"
REVERSE = "GRANT EXECUTE ON FUNCTION audit_append, audit_append_many TO PUBLIC;"


class Migration(migrations.Migration):
    dependencies = [("audit", "0006_exports")]

    operations = [migrations.RunSQL(FORWARD, REVERSE)]
