"""Price what a machine of WorkSpaces Applications has been by the prices of its own service.

`costs_book` (costs 0008) took whatever has been modified for a machine of WorkSpaces Personal, as only those were. From
now on reconcile follows a fleet that was resized in AWS, with a change of configuration of each machine on it. The
function is taken as it stands and given the service beside the kind, so that it keeps what else was changed in it.
"""

from django.db import migrations

EDIT = """
DO $edit$
DECLARE
    body text := pg_get_functiondef('costs_book(uuid[], timestamptz, interval, boolean, integer)'::regprocedure);
    pair text[];
BEGIN
    FOREACH pair SLICE 1 IN ARRAY ARRAY[{pairs}] LOOP
        IF strpos(body, pair[1]) = 0 THEN
            RAISE EXCEPTION 'costs_book does not say: %', pair[1];
        END IF;
        body := replace(body, pair[1], pair[2]);
    END LOOP;
    EXECUTE body;
END
$edit$;
"""

PAIRS = (
    ("ORDER BY mode.running_mode, operating_system,", "ORDER BY service_type, mode.running_mode, operating_system,"),
    (
        "           organization_id, currency, region, operating_system\n      FROM (",
        "           service_type, organization_id, currency, region, operating_system\n      FROM (",
    ),
    ("SELECT w.id, w.bundle_type, m.organization_id,", "SELECT w.id, w.bundle_type, service_type, m.organization_id,"),
    ("SELECT m.id, m.bundle_type, m.organization_id,", "SELECT m.id, m.bundle_type, service_type, m.organization_id,"),
    ("SELECT kind, ''WORKSPACES_PERSONAL'', organization_id,", "SELECT kind, service_type, organization_id,"),
)


def edit(pairs: tuple[tuple[str, str], ...]) -> str:
    return EDIT.format(pairs=", ".join(f"ARRAY['{there}', '{wanted}']" for there, wanted in pairs))


class Migration(migrations.Migration):
    dependencies = [
        ("costs", "0015_final_reports_follow"),
    ]

    operations = [migrations.RunSQL(edit(PAIRS), edit(tuple((wanted, there) for there, wanted in PAIRS)))]
