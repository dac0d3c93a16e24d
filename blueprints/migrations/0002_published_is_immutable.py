"""Keep what was published as it was: only status and its times change, bundles neither change, come nor go.

A draft is free. Leaving PUBLISHED or RETIRED for DRAFT is refused like every other change, so a version that people
have launched can be read back for ever. A bundle row follows the state of its blueprint.
"""

from django.db import migrations

FORWARD = """
CREATE FUNCTION forge_blueprint_is_immutable() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF OLD.status <> 'DRAFT' AND (
        TG_OP = 'DELETE'
        OR NEW.status = 'DRAFT'
        OR (OLD.status = 'RETIRED' AND NEW.status <> 'RETIRED')
        OR to_jsonb(NEW) - '{status,retired_at,updated_at}'::text[]
           IS DISTINCT FROM to_jsonb(OLD) - '{status,retired_at,updated_at}'::text[]
    ) THEN
        RAISE EXCEPTION 'blueprint % is %: its content does not change', OLD.id, OLD.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'blueprints_blueprint_published_is_immutable';
    END IF;
    IF NEW.name IS DISTINCT FROM OLD.name AND TG_OP = 'UPDATE' THEN
        RAISE EXCEPTION 'blueprint %: the name of a family never changes', OLD.id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'blueprints_blueprint_name_is_fixed';
    END IF;
    RETURN COALESCE(NEW, OLD);
END
$body$;

CREATE TRIGGER forge_is_immutable BEFORE UPDATE OR DELETE ON blueprints_blueprint
FOR EACH ROW EXECUTE FUNCTION forge_blueprint_is_immutable();

CREATE FUNCTION forge_blueprint_bundle_is_immutable() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE blueprint_status text;
BEGIN
    -- The share lock makes a publication under way visible, and a later one wait for this row.
    FOR blueprint_status IN
        SELECT status FROM blueprints_blueprint
         WHERE id IN (
             CASE WHEN TG_OP <> 'INSERT' THEN OLD.blueprint_id END,
             CASE WHEN TG_OP <> 'DELETE' THEN NEW.blueprint_id END
         )
           FOR SHARE
    LOOP
        IF blueprint_status <> 'DRAFT' THEN
            RAISE EXCEPTION 'the bundles of a % blueprint do not change', blueprint_status
                USING ERRCODE = 'check_violation', CONSTRAINT = 'blueprints_blueprintbundle_published_is_immutable';
        END IF;
    END LOOP;
    RETURN COALESCE(NEW, OLD);
END
$body$;

CREATE TRIGGER forge_is_immutable BEFORE INSERT OR UPDATE OR DELETE ON blueprints_blueprintbundle
FOR EACH ROW EXECUTE FUNCTION forge_blueprint_bundle_is_immutable();
"""

REVERSE = """
DROP TRIGGER forge_is_immutable ON blueprints_blueprintbundle;
DROP FUNCTION forge_blueprint_bundle_is_immutable();
DROP TRIGGER forge_is_immutable ON blueprints_blueprint;
DROP FUNCTION forge_blueprint_is_immutable();
"""


class Migration(migrations.Migration):
    dependencies = [("blueprints", "0001_initial")]

    operations = [migrations.RunSQL(FORWARD, REVERSE)]
