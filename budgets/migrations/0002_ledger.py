"""The ledger in SQL: reserve, settle, top up and release, each one call.

The caller has the scope rows of the machines FOR KEY SHARE; each function that writes first takes the budgets that it
will change `ORDER BY id FOR NO KEY UPDATE` in a statement of its own. A plpgsql function that is VOLATILE gives every
statement a new snapshot in READ COMMITTED, so the statement after the lock sees what was committed while the lock was
waited for; lock and read in one statement would miss a budget that came meanwhile. Reservations change only under the
lock of their budget and need none of their own.

`budgets_binding` lists the budgets that bind a machine at an instant and what each must set aside for it: the fixed
fees of the hours from `fees_from` to the earlier of period end and end of lifetime, and the hourly price for at most so
many hours. `fee` and `storage_fee` accrue apart, as they are booked. A launch owes the hour in which it comes; for a
machine that is there that hour is booked, so its fees to come begin with the next one.

`budgets_reserve` says per budget what stands in the way: `changed` (it came while the lock was waited for and is not
locked), `not_adopted`, `no_room`, or nothing. Only where nothing stands in the way of any does it write.

`budgets_settle` books charges, and never refuses: each charge goes to the budgets of whom its cost record belongs to,
in whose period its hour lies, first out of what the machine holds there. A charge below zero lowers what is spent and
gives nothing back to the reservation. Then it tops up what has fallen too low, the smallest addition first, as far as
each budget has room; `short` counts what did not fit. It finds the budgets, locks them, has `budgets_reckon` reckon
every change, and writes each row once.

The planner cannot know how long the arrays are, and its guess of ten rows makes it compare all with all. So
`budgets_reckon` may join by hash or merge only, reads its tables by index, and keeps its plan; `budgets_settle`, whose
look-ups are one per row, plans anew with the arrays at hand. (Tried: without these settings a chunk of 1,000 machines
takes from 2 to 15 times as long, depending on what was analyzed last.)

`budgets_release` gives back what machines hold; `budgets_empty` what is still held in given budgets.
"""

from django.db import migrations

BINDING_FORWARD = """
CREATE FUNCTION budgets_binding(
    for_user uuid, for_team uuid, for_project uuid, for_organization uuid, at timestamptz, lifetime_end timestamptz,
    fee numeric, storage_fee numeric, hourly numeric, hours_ahead integer, fees_from timestamptz
) RETURNS TABLE (
    id uuid, scope text, scope_id uuid, amount numeric, spent numeric, reserved numeric, period_start timestamptz,
    period_end timestamptz, on_limit text, adopted_at timestamptz, needed numeric
) LANGUAGE sql STABLE AS $body$
    SELECT b.id, b.scope, b.scope_id, b.amount, b.spent, b.reserved, b.period_start, b.period_end, b.on_limit,
           b.adopted_at,
           CASE WHEN bound.at <= budgets_binding.at THEN 0
                ELSE costs_accrued(fee, bound.hour) - costs_accrued(fee, fees_from)
                     + costs_accrued(storage_fee, bound.hour) - costs_accrued(storage_fee, fees_from)
                     + hourly * least(hours_ahead, ceil(extract(epoch FROM bound.at - budgets_binding.at) / 3600))
           END
      FROM budgets_budget b
     CROSS JOIN LATERAL (
         SELECT least(b.period_end, lifetime_end) AS at,
                costs_hour_of(least(b.period_end, lifetime_end) + interval '1 hour' - interval '1 microsecond') AS hour
     ) bound
     WHERE (b.scope, b.scope_id) IN (
               ('USER', for_user), ('TEAM', for_team), ('PROJECT', for_project), ('ORGANIZATION', for_organization)
           )
       AND b.is_active AND b.period_start <= budgets_binding.at AND b.period_end > budgets_binding.at
     ORDER BY b.id
$body$;
"""
BINDING_REVERSE = """
DROP FUNCTION budgets_binding(
    uuid, uuid, uuid, uuid, timestamptz, timestamptz, numeric, numeric, numeric, integer, timestamptz
);
"""

RESERVE_FORWARD = """
CREATE FUNCTION budgets_reserve(
    for_user uuid, for_team uuid, for_project uuid, for_organization uuid, at timestamptz, lifetime_end timestamptz,
    fee numeric, storage_fee numeric, hourly numeric, hours_ahead integer,
    for_workspace uuid, for_operation uuid, under_correlation uuid, until timestamptz
) RETURNS TABLE (
    id uuid, scope text, scope_id uuid, amount numeric, spent numeric, reserved numeric, period_start timestamptz,
    period_end timestamptz, on_limit text, adopted_at timestamptz, needed numeric, obstacle text
) LANGUAGE plpgsql VOLATILE SET jit = off AS $body$
#variable_conflict use_column
DECLARE
    locked uuid[];
    admitted boolean := true;
BEGIN
    locked := ARRAY(
        SELECT b.id FROM budgets_budget b
         WHERE (b.scope, b.scope_id) IN (
                   ('USER', for_user), ('TEAM', for_team), ('PROJECT', for_project), ('ORGANIZATION', for_organization)
               )
           AND b.is_active AND b.period_start <= at AND b.period_end > at
         ORDER BY b.id FOR NO KEY UPDATE
    );
    FOR id, scope, scope_id, amount, spent, reserved, period_start, period_end, on_limit, adopted_at, needed IN
        SELECT b.* FROM budgets_binding(
            for_user, for_team, for_project, for_organization, at, lifetime_end, fee, storage_fee, hourly, hours_ahead,
            costs_hour_of(at)
        ) b
    LOOP
        obstacle := CASE
            WHEN id <> ALL (locked) THEN 'changed'
            WHEN adopted_at IS NULL THEN 'not_adopted'
            WHEN spent + reserved + needed > amount THEN 'no_room'
            ELSE ''
        END;
        admitted := admitted AND obstacle = '';
        RETURN NEXT;
    END LOOP;
    IF admitted THEN
        WITH bound AS MATERIALIZED (
            SELECT b.id, b.needed FROM budgets_binding(
                for_user, for_team, for_project, for_organization, at, lifetime_end, fee, storage_fee, hourly,
                hours_ahead, costs_hour_of(at)
            ) b
        ), held AS (
            UPDATE budgets_budget b
               SET reserved = b.reserved + bound.needed, updated_at = statement_timestamp()
              FROM bound WHERE b.id = bound.id
        )
        INSERT INTO budgets_reservation (
            id, organization_id, budget_id, workspace_id, operation_id, amount, remaining, expires_at, correlation_id,
            created_at, updated_at
        )
        SELECT forge_uuid7(), for_organization, bound.id, for_workspace, for_operation, bound.needed, bound.needed,
               until, under_correlation, statement_timestamp(), statement_timestamp()
          FROM bound;
    END IF;
END
$body$;
"""
RESERVE_REVERSE = """
DROP FUNCTION budgets_reserve(
    uuid, uuid, uuid, uuid, timestamptz, timestamptz, numeric, numeric, numeric, integer, uuid, uuid, uuid, timestamptz
);
"""

RECKON_FORWARD = """
CREATE FUNCTION budgets_reckon(
    workspaces uuid[], hours timestamptz[], amounts numeric[], prices uuid[],
    users uuid[], teams uuid[], projects uuid[], organizations uuid[], budgets uuid[],
    at timestamptz, hours_low integer, hours_ahead integer,
    OUT settled integer, OUT topped_up integer, OUT short integer,
    OUT places tid[], OUT takes numeric[], OUT additions numeric[],
    OUT booked uuid[], OUT spendings numeric[], OUT reservings numeric[]
) LANGUAGE plpgsql VOLATILE
SET jit = off SET enable_seqscan = off SET enable_nestloop = off SET plan_cache_mode = force_generic_plan
AS $body$
DECLARE
    next_hour timestamptz := costs_hour_of(at + interval '1 hour' - interval '1 microsecond');
BEGIN
    WITH budget AS MATERIALIZED (
        SELECT id, scope_id, amount, spent, reserved, period_start, period_end FROM budgets_budget
         WHERE id = ANY (budgets) AND is_active AND adopted_at IS NOT NULL
    ), charge AS MATERIALIZED (
        SELECT c.*
          FROM unnest(workspaces, hours, amounts, prices, users, teams, projects, organizations)
            AS c (workspace_id, hour, amount, price_id, user_id, team_id, project_id, organization_id)
    ), pair AS MATERIALIZED (
        SELECT c.workspace_id, b.id AS budget_id, sum(c.amount) AS amount
          FROM (
              SELECT workspace_id, hour, amount,
                     unnest(ARRAY[user_id, team_id, project_id, organization_id]) AS scope_id
                FROM charge
          ) c
          JOIN budget b ON b.scope_id = c.scope_id AND b.period_start <= c.hour AND b.period_end > c.hour
         GROUP BY c.workspace_id, b.id
    ), machine AS MATERIALIZED (
        SELECT w.id, p.monthly_amount AS fee, p.hourly_amount AS hourly,
               greatest(0, w.root_volume_gb + w.user_volume_gb - p.included_storage_gb) * p.storage_gb_month_amount
                   AS storage_fee,
               w.created_at + w.max_lifetime_days * interval '24 hours' AS lifetime_end
          FROM workspaces_workspace w
          JOIN (SELECT DISTINCT ON (workspace_id) workspace_id, price_id FROM charge ORDER BY workspace_id, hour DESC) c
            ON c.workspace_id = w.id
          JOIN costs_price p ON p.id = c.price_id
         WHERE w.id = ANY (workspaces) AND w.state NOT IN ('TERMINATED', 'FAILED')
    ), held AS MATERIALIZED (
        SELECT r.ctid AS place, r.id, r.budget_id, r.remaining, r.expires_at,
               least(r.remaining, greatest(c.amount, 0)) AS take,
               m.fee, m.storage_fee, m.hourly,
               CASE WHEN b.period_end > at THEN least(b.period_end, m.lifetime_end) END AS bound
          FROM budgets_reservation r
          JOIN pair c ON c.workspace_id = r.workspace_id AND c.budget_id = r.budget_id
          JOIN budget b ON b.id = r.budget_id
          LEFT JOIN machine m ON m.id = r.workspace_id
         WHERE r.workspace_id = ANY (workspaces) AND r.released_at IS NULL
    ), kind AS MATERIALIZED (
        -- The fees to come are reckoned once for all machines of one kind and bound.
        SELECT k.*, ceil(extract(epoch FROM k.bound - at) / 3600) AS hours_left,
               costs_accrued(k.fee, k.hour) - costs_accrued(k.fee, next_hour)
                   + costs_accrued(k.storage_fee, k.hour) - costs_accrued(k.storage_fee, next_hour) AS fees
          FROM (
              SELECT DISTINCT fee, storage_fee, hourly, bound,
                     costs_hour_of(bound + interval '1 hour' - interval '1 microsecond') AS hour
                FROM held WHERE bound > at
          ) k
    ), total AS MATERIALIZED (
        SELECT b.id, b.amount AS allowed, b.spent, b.reserved, sum(x.amount) AS amount, sum(x.take) AS take
          FROM (
              SELECT budget_id, amount, 0 AS take FROM pair
              UNION ALL
              SELECT budget_id, 0, take FROM held
          ) x
          JOIN budget b ON b.id = x.budget_id
         GROUP BY b.id, b.amount, b.spent, b.reserved
    ), low AS MATERIALIZED (
        SELECT h.id, h.budget_id,
               k.fees + k.hourly * least(hours_ahead, k.hours_left) - h.remaining + h.take AS addition
          FROM held h
          JOIN kind k USING (fee, storage_fee, hourly, bound)
         WHERE h.remaining - h.take < k.fees + k.hourly * least(hours_low, k.hours_left)
    ), granted AS MATERIALIZED (
        SELECT l.id, l.budget_id, l.addition
          FROM (
              SELECT low.*, sum(low.addition) OVER (PARTITION BY low.budget_id ORDER BY low.addition, low.id) AS so_far
                FROM low
          ) l
          JOIN total t ON t.id = l.budget_id
         WHERE greatest(t.spent + t.amount, 0) + t.reserved - t.take + l.so_far <= t.allowed
    ), change AS (
        SELECT array_agg(h.place) AS places, array_agg(h.take) AS takes, array_agg(coalesce(g.addition, 0)) AS additions
          FROM held h
          LEFT JOIN granted g ON g.id = h.id
         WHERE h.take > 0 OR g.addition > 0 OR h.expires_at IS NOT NULL
    ), booking AS (
        SELECT array_agg(t.id) AS booked, array_agg(t.amount) AS spendings,
               array_agg(coalesce(g.addition, 0) - t.take) AS reservings
          FROM total t
          LEFT JOIN (SELECT budget_id, sum(addition) AS addition FROM granted GROUP BY budget_id) g
            ON g.budget_id = t.id
    )
    SELECT (SELECT count(*) FROM pair), (SELECT count(*) FROM granted),
           (SELECT count(*) FROM low) - (SELECT count(*) FROM granted), change.*, booking.*
      INTO settled, topped_up, short, places, takes, additions, booked, spendings, reservings
      FROM change CROSS JOIN booking;
END
$body$;
"""
RECKON_REVERSE = """
DROP FUNCTION budgets_reckon(
    uuid[], timestamptz[], numeric[], uuid[], uuid[], uuid[], uuid[], uuid[], uuid[], timestamptz, integer, integer
);
"""

SETTLE_FORWARD = """
CREATE FUNCTION budgets_settle(
    workspaces uuid[], hours timestamptz[], amounts numeric[], at timestamptz, hours_low integer, hours_ahead integer,
    OUT settled integer, OUT topped_up integer, OUT short integer
) LANGUAGE plpgsql VOLATILE
SET jit = off SET enable_seqscan = off SET plan_cache_mode = force_custom_plan
AS $body$
DECLARE
    first_hour timestamptz;
    last_hour timestamptz;
    owners record;
    budgets uuid[];
    reckoned record;
BEGIN
    SELECT min(hour), max(hour) INTO first_hour, last_hour FROM unnest(hours) AS hour;

    SELECT array_agg(r.user_id ORDER BY c.nr) AS users,
           array_agg(r.team_id ORDER BY c.nr) AS teams,
           array_agg(r.project_id ORDER BY c.nr) AS projects,
           array_agg(r.organization_id ORDER BY c.nr) AS organizations,
           array_agg(r.price_id ORDER BY c.nr) AS prices
      INTO owners
      FROM unnest(workspaces, hours) WITH ORDINALITY AS c (workspace_id, hour, nr)
      LEFT JOIN LATERAL (
          SELECT user_id, team_id, project_id, organization_id, price_id FROM costs_costrecord
           WHERE workspace_id = c.workspace_id AND period_start = c.hour
             AND period_start BETWEEN first_hour AND last_hour
           LIMIT 1
      ) r ON true;

    budgets := ARRAY(
        SELECT b.id FROM budgets_budget b
         WHERE b.scope_id = ANY (ARRAY(
                   SELECT DISTINCT payer
                     FROM unnest(owners.users || owners.teams || owners.projects || owners.organizations) AS payer
                    WHERE payer IS NOT NULL
               ))
           AND b.is_active AND b.adopted_at IS NOT NULL AND b.period_start <= last_hour AND b.period_end > first_hour
    );
    PERFORM FROM budgets_budget b WHERE b.id = ANY (budgets) ORDER BY b.id FOR NO KEY UPDATE;

    SELECT * INTO reckoned
      FROM budgets_reckon(
          workspaces, hours, amounts, owners.prices, owners.users, owners.teams, owners.projects, owners.organizations,
          budgets, at, hours_low, hours_ahead
      );
    settled := reckoned.settled;
    topped_up := reckoned.topped_up;
    short := reckoned.short;

    -- By their place: nobody can have moved a reservation whose budget is locked.
    UPDATE budgets_reservation r
       SET amount = r.amount + c.addition, remaining = r.remaining - c.take + c.addition, expires_at = NULL,
           updated_at = statement_timestamp()
      FROM unnest(reckoned.places, reckoned.takes, reckoned.additions) AS c (place, take, addition)
     WHERE r.ctid = c.place;

    UPDATE budgets_budget b
       SET spent = greatest(b.spent + c.spending, 0), reserved = b.reserved + c.reserving,
           updated_at = statement_timestamp()
      FROM unnest(reckoned.booked, reckoned.spendings, reckoned.reservings) AS c (id, spending, reserving)
     WHERE b.id = c.id;
END
$body$;
"""
SETTLE_REVERSE = """
DROP FUNCTION budgets_settle(uuid[], timestamptz[], numeric[], timestamptz, integer, integer);
"""

RELEASE_FORWARD = """
CREATE FUNCTION budgets_release(workspaces uuid[], at timestamptz, OUT released integer)
LANGUAGE plpgsql VOLATILE SET jit = off AS $body$
DECLARE
    of_budget uuid[];
BEGIN
    of_budget := ARRAY(
        SELECT DISTINCT r.budget_id FROM budgets_reservation r
         WHERE r.workspace_id = ANY (workspaces) AND r.released_at IS NULL
    );
    PERFORM FROM budgets_budget b WHERE b.id = ANY (of_budget) ORDER BY b.id FOR NO KEY UPDATE;
    WITH held AS MATERIALIZED (
        SELECT r.id, r.budget_id, r.remaining FROM budgets_reservation r
         WHERE r.workspace_id = ANY (workspaces) AND r.released_at IS NULL AND r.budget_id = ANY (of_budget)
    ), freed AS (
        UPDATE budgets_reservation r
           SET remaining = 0, released_at = at, expires_at = NULL, updated_at = statement_timestamp()
          FROM held WHERE r.id = held.id
    ), lowered AS (
        UPDATE budgets_budget b
           SET reserved = b.reserved - f.remaining, updated_at = statement_timestamp()
          FROM (SELECT budget_id, sum(remaining) AS remaining FROM held GROUP BY budget_id) f
         WHERE b.id = f.budget_id
    )
    SELECT count(*) INTO released FROM held;
END
$body$;

CREATE FUNCTION budgets_empty(budgets uuid[], at timestamptz, OUT released integer)
LANGUAGE plpgsql VOLATILE SET jit = off AS $body$
BEGIN
    PERFORM FROM budgets_budget b WHERE b.id = ANY (budgets) ORDER BY b.id FOR NO KEY UPDATE;
    WITH freed AS (
        UPDATE budgets_reservation r
           SET remaining = 0, released_at = at, expires_at = NULL, updated_at = statement_timestamp()
         WHERE r.budget_id = ANY (budgets) AND r.released_at IS NULL
        RETURNING r.id
    ), lowered AS (
        UPDATE budgets_budget b SET reserved = 0, updated_at = statement_timestamp() WHERE b.id = ANY (budgets)
    )
    SELECT count(*) INTO released FROM freed;
END
$body$;
"""
RELEASE_REVERSE = """
DROP FUNCTION budgets_empty(uuid[], timestamptz);
DROP FUNCTION budgets_release(uuid[], timestamptz);
"""


class Migration(migrations.Migration):
    dependencies = [
        ("budgets", "0001_initial"),
        ("costs", "0002_metering"),
        ("db", "0001_initial"),
    ]

    operations = [
        migrations.RunSQL(BINDING_FORWARD, BINDING_REVERSE),
        migrations.RunSQL(RESERVE_FORWARD, RESERVE_REVERSE),
        migrations.RunSQL(RECKON_FORWARD, RECKON_REVERSE),
        migrations.RunSQL(SETTLE_FORWARD, SETTLE_REVERSE),
        migrations.RunSQL(RELEASE_FORWARD, RELEASE_REVERSE),
    ]
