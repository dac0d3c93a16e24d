"""What booking a bill does in SQL, for a few machines at a time whose scope rows and own rows the caller has locked.

`BOOK` puts a bill's lines in place of what was metered, `RESTORE` puts back what was metered where a later bill of the
month names a machine no more. Both make a CTE `changed`, of records that must become other than they are, and end in
the same steps: records, revisions of those whose figures or basis differ, daily sums in the order of their key,
cost_to_date. A record that becomes BILLED leaves a revision even where the bill says what was metered: a later bill may
say something else, and what was metered is only there then.
`nr` numbers the records of all the machines: one key by which two thousand rows of each find each other again.
Records are changed by their place: whoever moves one holds its machine's row, which the caller has locked.
Answer of both: counts, daily sums that have come to nothing, and what was changed as three arrays for the budgets.

How lines come to hours (docs/money.md, "The provider's bill"): a line of one hour belongs to the record of that hour;
any other, and one for whose hour there is no record, is spread evenly over the records of its time, or of the month
where there are none in it. Rows that have had one id of AWS are one machine to the bill: a line that does not say which
of them it means is spread over the records of them all, and where it is of one row, of the newest that had begun by
then. `a · k / n` of an amount has come with the k-th of n records, so that the differences sum to it. Credits lower all
of the machine's charges of the month in proportion. The running total of the month is rounded to six places and each
part gets the difference, so that a machine's month is what the bill says, to the millionth.
"""

from __future__ import annotations

_RECORD = """
WITH metered AS MATERIALIZED (
    SELECT DISTINCT ON (v.workspace_id, v.period_start) v.workspace_id, v.period_start, v.id, v.old_basis,
           v.old_compute_cost, v.old_storage_cost,
           v.old_total_cost - v.old_compute_cost - v.old_storage_cost AS old_data_transfer_cost
      FROM unnest(%(workspaces)s::uuid[]) AS m (workspace_id)
      JOIN costs_costrevision v ON v.workspace_id = m.workspace_id
       AND v.period_start >= %(start)s AND v.period_start < %(end)s
     WHERE v.old_basis <> 'BILLED' AND v.new_basis = 'BILLED'
     ORDER BY v.workspace_id, v.period_start, v.id DESC
),
record AS MATERIALIZED (
    SELECT r.ctid AS place, r.workspace_id, r.period_start, r.organization_id, r.user_id, r.team_id, r.project_id,
           r.blueprint_id, r.cost_center, r.bundle_type, r.region, r.running_mode, r.price_id, r.currency, r.basis,
           r.billed_hours, r.compute_cost, r.storage_cost, r.data_transfer_cost, r.data_transfer_gb,
           row_number() OVER (ORDER BY r.workspace_id, r.period_start) AS nr,
           coalesce(metered.old_basis, 'METERED') AS metered_basis,
           CASE WHEN r.basis = 'BILLED' AND metered.id IS NOT NULL THEN metered.old_compute_cost
                ELSE r.compute_cost END AS metered_compute,
           CASE WHEN r.basis = 'BILLED' AND metered.id IS NOT NULL THEN metered.old_storage_cost
                ELSE r.storage_cost END AS metered_storage,
           CASE WHEN r.basis = 'BILLED' AND metered.id IS NOT NULL THEN metered.old_data_transfer_cost
                ELSE r.data_transfer_cost END AS metered_transfer
      FROM unnest(%(workspaces)s::uuid[]) AS m (workspace_id)
      JOIN costs_costrecord r ON r.workspace_id = m.workspace_id
       AND r.period_start >= %(start)s AND r.period_start < %(end)s
      LEFT JOIN metered ON metered.workspace_id = r.workspace_id AND metered.period_start = r.period_start
)
"""

_BILLED = """
, named AS MATERIALIZED (
    SELECT m.workspace_id, m.resource, w.launched_at, w.terminated_at,
           count(*) OVER (PARTITION BY m.resource) = 1 AS is_sole
      FROM unnest(%(workspaces)s::uuid[], %(resources)s::text[]) AS m (workspace_id, resource)
      JOIN workspaces_workspace w ON w.id = m.workspace_id
),
charge AS MATERIALIZED (
    SELECT l.*, meant.workspace_id AS meant_id,
           coalesce(meant.workspace_id, sole.workspace_id, (
               SELECT n.workspace_id FROM named n
                WHERE n.resource = l.resource
                ORDER BY n.launched_at < l.ends DESC, CASE WHEN n.launched_at < l.ends THEN n.launched_at END DESC,
                         n.launched_at, n.workspace_id
                LIMIT 1
           )) AS workspace_id
      FROM (
          SELECT l.resource, l.machine_id, l.starts, l.ends, l.part, sum(l.amount) AS amount,
                 sum(l.quantity) AS quantity
            FROM (SELECT DISTINCT resource FROM named) m
            JOIN costs_billline l ON l.bill_id = %(bill)s AND l.resource = m.resource
           GROUP BY l.resource, l.machine_id, l.starts, l.ends, l.part
      ) l
      LEFT JOIN named meant ON meant.workspace_id = l.machine_id
      LEFT JOIN named sole ON sole.resource = l.resource AND sole.is_sole
),
owed AS MATERIALIZED (
    SELECT resource, coalesce(sum(amount) FILTER (WHERE amount > 0), 0) AS gross, greatest(sum(amount), 0) AS net
      FROM charge GROUP BY resource
),
placed AS MATERIALIZED (
    SELECT row_number() OVER () AS span, c.*, r.nr
      FROM charge c
      LEFT JOIN record r
             ON r.workspace_id = c.workspace_id AND r.period_start = c.starts AND c.ends = c.starts + interval '1 hour'
     WHERE c.amount > 0 OR c.quantity <> 0
),
within AS MATERIALIZED (
    SELECT p.span, r.nr
      FROM placed p
      JOIN named n ON n.resource = p.resource AND n.workspace_id = coalesce(p.meant_id, n.workspace_id)
      JOIN record r ON r.workspace_id = n.workspace_id
       AND r.period_start >= costs_hour_of(p.starts) AND r.period_start < p.ends
     WHERE p.nr IS NULL AND (n.is_sole OR n.terminated_at IS NULL OR r.period_start < n.terminated_at)
),
covered AS (
    SELECT span, nr FROM within
    UNION ALL
    SELECT p.span, r.nr FROM placed p JOIN record r ON r.workspace_id = p.workspace_id
     WHERE p.nr IS NULL AND p.span NOT IN (SELECT span FROM within)
),
spread AS (
    SELECT p.resource, c.nr, p.part,
           round(p.amount * c.k / c.n, 18) - round(p.amount * (c.k - 1) / c.n, 18) AS amount,
           round(p.quantity * c.k / c.n, 18) - round(p.quantity * (c.k - 1) / c.n, 18) AS quantity
      FROM (
          SELECT span, nr, row_number() OVER (PARTITION BY span ORDER BY nr) AS k,
                 count(*) OVER (PARTITION BY span) AS n
            FROM covered
      ) c JOIN placed p USING (span)
),
hour AS (
    SELECT resource, nr, part, sum(greatest(amount, 0)) AS amount, sum(quantity) AS quantity
      FROM (
          SELECT resource, nr, part, amount, quantity FROM placed WHERE nr IS NOT NULL
          UNION ALL
          SELECT resource, nr, part, amount, quantity FROM spread
      ) share
     GROUP BY resource, nr, part
),
running AS (
    SELECT h.*, o.gross, o.net, sum(h.amount) OVER (PARTITION BY h.resource ORDER BY h.nr, h.part) AS upto
      FROM hour h JOIN owed o USING (resource)
     WHERE o.gross > 0
),
share AS (
    SELECT resource, nr, part, quantity,
           round(CASE WHEN net = gross THEN upto WHEN upto = gross THEN net ELSE upto * net / gross END, 6)
           - round(
               CASE WHEN net = gross THEN upto - amount WHEN upto - amount = gross THEN net
                    ELSE (upto - amount) * net / gross
               END,
               6
           ) AS amount
      FROM running
),
target AS (
    SELECT r.*, 'BILLED' AS new_basis, coalesce(b.compute, 0) AS new_compute,
           coalesce(b.storage, 0) AS new_storage, coalesce(b.transfer, 0) AS new_transfer,
           coalesce(b.transfer_gb, 0) AS new_transfer_gb
      FROM record r
      LEFT JOIN (
          SELECT nr, sum(amount) FILTER (WHERE part = 0) AS compute,
                 sum(amount) FILTER (WHERE part = 1) AS storage, sum(amount) FILTER (WHERE part = 2) AS transfer,
                 round(sum(quantity) FILTER (WHERE part = 2), 6) AS transfer_gb
            FROM share GROUP BY nr
      ) b USING (nr)
),
told AS (
    INSERT INTO costs_billedmachine AS told (
        bill_id, organization_id, workspace_id, bundle_type, hours, metered_cost, billed_cost
    )
    SELECT %(bill)s, %(organization)s, workspace_id, bundle_type, count(*),
           sum(metered_compute + metered_storage + metered_transfer), sum(new_compute + new_storage + new_transfer)
      FROM target GROUP BY workspace_id, bundle_type ORDER BY workspace_id, bundle_type
    ON CONFLICT (bill_id, workspace_id, bundle_type) DO UPDATE
        SET hours = EXCLUDED.hours, metered_cost = EXCLUDED.metered_cost, billed_cost = EXCLUDED.billed_cost
)
"""

_METERED = """
, target AS (
    SELECT r.*, metered_basis AS new_basis, metered_compute AS new_compute, metered_storage AS new_storage,
           metered_transfer AS new_transfer, 0::numeric AS new_transfer_gb
      FROM record r
),
told AS (
    INSERT INTO costs_billedmachine AS told (
        bill_id, organization_id, workspace_id, bundle_type, hours, metered_cost, billed_cost
    )
    SELECT %(bill)s, %(organization)s, workspace_id, bundle_type, count(*),
           sum(metered_compute + metered_storage + metered_transfer), NULL
      FROM target GROUP BY workspace_id, bundle_type
    HAVING sum(metered_compute + metered_storage + metered_transfer) > 0
     ORDER BY workspace_id, bundle_type
    ON CONFLICT (bill_id, workspace_id, bundle_type) DO UPDATE
        SET hours = EXCLUDED.hours, metered_cost = EXCLUDED.metered_cost, billed_cost = NULL
)
"""

_APPLY = """
, changed AS MATERIALIZED (
    SELECT *, new_compute + new_storage + new_transfer - compute_cost - storage_cost - data_transfer_cost AS difference
      FROM target
     WHERE (basis, compute_cost, storage_cost, data_transfer_cost, data_transfer_gb)
           IS DISTINCT FROM (new_basis, new_compute, new_storage, new_transfer, new_transfer_gb)
       AND {which}
),
corrected AS (
    UPDATE costs_costrecord r
       SET basis = c.new_basis, compute_cost = c.new_compute, storage_cost = c.new_storage,
           data_transfer_cost = c.new_transfer, data_transfer_gb = c.new_transfer_gb,
           total_cost = c.new_compute + c.new_storage + c.new_transfer
      FROM changed c
     WHERE r.ctid = c.place AND r.workspace_id = c.workspace_id AND r.period_start = c.period_start
       AND r.period_start >= %(start)s AND r.period_start < %(end)s
),
revised AS (
    INSERT INTO costs_costrevision (
        organization_id, workspace_id, user_id, team_id, period_start, old_price_id, new_price_id, old_compute_cost,
        new_compute_cost, old_storage_cost, new_storage_cost, old_total_cost, new_total_cost, currency, old_basis,
        new_basis, reason, actor_id, operation_id
    )
    SELECT organization_id, workspace_id, user_id, team_id, period_start, price_id, price_id, compute_cost, new_compute,
           storage_cost, new_storage, compute_cost + storage_cost + data_transfer_cost,
           new_compute + new_storage + new_transfer, currency, basis, new_basis, %(reason)s, %(actor)s, %(operation)s
      FROM changed
     WHERE (basis, compute_cost, storage_cost, data_transfer_cost)
           <> (new_basis, new_compute, new_storage, new_transfer)
     ORDER BY nr
),
summed AS (
    INSERT INTO costs_dailycost AS daily (
        day, organization_id, user_id, team_id, project_id, blueprint_id, cost_center, bundle_type, region,
        running_mode, basis, billed_hours, compute_cost, storage_cost, data_transfer_cost, total_cost, created_at,
        updated_at
    )
    SELECT (period_start AT TIME ZONE 'UTC')::date AS day, organization_id, user_id, team_id, project_id, blueprint_id,
           cost_center, bundle_type, region, running_mode, side.basis, sum(side.sign * billed_hours),
           sum(side.compute), sum(side.storage), sum(side.transfer), sum(side.compute + side.storage + side.transfer),
           statement_timestamp(), statement_timestamp()
      FROM changed c
     CROSS JOIN LATERAL (
         VALUES (c.basis, -1, - c.compute_cost, - c.storage_cost, - c.data_transfer_cost),
                (c.new_basis, 1, c.new_compute, c.new_storage, c.new_transfer)
     ) AS side (basis, sign, compute, storage, transfer)
     GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
     ORDER BY organization_id, day, team_id, user_id, project_id, blueprint_id, cost_center, bundle_type, region,
              running_mode, side.basis
    ON CONFLICT (
        organization_id, day, team_id, user_id, project_id, blueprint_id, cost_center, bundle_type, region,
        running_mode, basis
    ) DO UPDATE
        SET billed_hours = daily.billed_hours + EXCLUDED.billed_hours,
            compute_cost = daily.compute_cost + EXCLUDED.compute_cost,
            storage_cost = daily.storage_cost + EXCLUDED.storage_cost,
            data_transfer_cost = daily.data_transfer_cost + EXCLUDED.data_transfer_cost,
            total_cost = daily.total_cost + EXCLUDED.total_cost,
            updated_at = EXCLUDED.updated_at
    RETURNING id, billed_hours, compute_cost, storage_cost, data_transfer_cost
),
spent AS (
    UPDATE workspaces_workspace w SET cost_to_date = w.cost_to_date + due.amount
      FROM (SELECT workspace_id, sum(difference) AS amount FROM changed GROUP BY workspace_id) due
     WHERE w.id = due.workspace_id AND due.amount <> 0
)
SELECT (SELECT count(*) FROM changed),
       (SELECT coalesce(array_agg(id), '{{}}') FROM summed
         WHERE (billed_hours, compute_cost, storage_cost, data_transfer_cost) = (0, 0, 0, 0)),
       charges.count, coalesce(workspace_ids, '{{}}')::text, coalesce(hours, '{{}}')::text,
       coalesce(amounts, '{{}}')::text
  FROM (
      SELECT count(*), array_agg(workspace_id) AS workspace_ids, array_agg(hour) AS hours,
             array_agg(difference) AS amounts
        FROM (
            SELECT workspace_id, extract(epoch FROM period_start)::bigint / 3600 AS hour, difference
              FROM changed WHERE difference <> 0 ORDER BY nr
        ) charge
  ) charges
"""

BOOK = _RECORD + _BILLED + _APPLY.format(which="true")
RESTORE = _RECORD + _METERED + _APPLY.format(which="basis = 'BILLED'")

DROP_EMPTY_SUMS = "DELETE FROM costs_dailycost WHERE id = ANY (%s)"

# Charges of a machine come with its credits to less than nothing: what is beyond cannot stand in a record.
CREDITS = """
    INSERT INTO costs_billgap AS gap (
        bill_id, organization_id, reason, resource, account, lines, amount, first_at, last_at
    )
    SELECT %(bill)s, %(organization)s, 'CREDIT', resource, min(account), count(*) FILTER (WHERE amount < 0),
           round(sum(amount), 6), min(starts), max(ends)
      FROM costs_billline WHERE bill_id = %(bill)s AND resource = ANY (%(resources)s)
     GROUP BY resource HAVING sum(amount) < 0
    ON CONFLICT (bill_id, resource, reason) DO UPDATE
        SET lines = EXCLUDED.lines, amount = EXCLUDED.amount, first_at = EXCLUDED.first_at, last_at = EXCLUDED.last_at
"""

GAPS = """
    INSERT INTO costs_billgap AS gap (
        bill_id, organization_id, reason, resource, account, lines, amount, first_at, last_at
    )
    SELECT %(bill)s, %(organization)s, m.reason, left(l.resource, 255), min(l.account), count(*),
           round(sum(l.amount), 6), min(l.starts), max(l.ends)
      FROM unnest(%(resources)s::text[], %(reasons)s::text[]) AS m (resource, reason)
      JOIN costs_billline l ON l.bill_id = %(bill)s AND l.resource = m.resource
     GROUP BY m.reason, left(l.resource, 255)
     ORDER BY m.reason, left(l.resource, 255)
    ON CONFLICT (bill_id, resource, reason) DO UPDATE
        SET lines = EXCLUDED.lines, amount = EXCLUDED.amount, first_at = EXCLUDED.first_at, last_at = EXCLUDED.last_at
"""

NEXT_RESOURCES = """
    WITH RECURSIVE next (resource, nr) AS (
        (SELECT resource, 1 FROM costs_billline WHERE bill_id = %(bill)s AND resource > %(after)s
          ORDER BY resource LIMIT 1)
        UNION ALL
        SELECT (SELECT l.resource FROM costs_billline l WHERE l.bill_id = %(bill)s AND l.resource > next.resource
                 ORDER BY l.resource LIMIT 1), nr + 1
          FROM next WHERE next.resource IS NOT NULL AND nr < %(limit)s
    )
    SELECT resource FROM next WHERE resource IS NOT NULL
"""

SETTLED = """
    WITH gone AS (
        DELETE FROM costs_billline WHERE bill_id = %(bill)s AND resource = ANY (%(resources)s) RETURNING 1
    )
    SELECT count(*) FROM gone
"""
