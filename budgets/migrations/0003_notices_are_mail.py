"""Notices of marks become mail of the outbox, under the ids and Message-IDs that they had; their own table goes.

A notice that was sent is a mail that was sent; one with a time to send is due; one without either was given up. The
figures of the mark that a notice looked up when it was sent are noted in the mail, as the budget has them now.

Back: every mail about a mark becomes a notice again, with what notices know, and leaves the outbox. One that was
withdrawn is then a notice without a time to send, as one that was given up.
"""

from django.db import migrations

FORWARD = """
INSERT INTO outbox_mail (
    id, created_at, updated_at, organization_id, recipient_id, kind, target_type, target_id, correlation_id,
    dedupe_key, message_id, state, due_at, useless_after, attempts, last_error, withdrawn_because, sent_at, facts
)
SELECT notice.id, notice.created_at, notice.updated_at, notice.organization_id, notice.recipient_id, 'budget.mark',
       'Budget', budget.id, NULL,
       format('budget.mark:%s:%s:%s', notice.recipient_id, threshold.id,
              extract(epoch FROM notice.fired_at)::numeric(20, 6)),
       format('<budget-notice-%s@forge.invalid>', notice.id),
       CASE WHEN notice.sent_at IS NOT NULL THEN 'SENT' WHEN notice.due_at IS NOT NULL THEN 'DUE' ELSE 'GIVEN_UP' END,
       notice.due_at, NULL, notice.failures,
       CASE WHEN notice.sent_at IS NULL AND notice.due_at IS NULL THEN 'It was given up before errors were noted.'
            ELSE '' END,
       '', notice.sent_at,
       jsonb_build_object(
           'threshold', threshold.id, 'fraction', to_char(threshold.fraction, 'FM0.00'), 'scope', budget.scope,
           'amount', budget.amount::text, 'spent', notice.spent::text, 'currency', organization.currency,
           'period_start', to_char(budget.period_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
           'period_end', to_char(budget.period_end AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
           'on_limit', budget.on_limit,
           'fired_at', to_char(notice.fired_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
       )
  FROM budgets_budgetnotice notice
  JOIN budgets_budgetthreshold threshold ON threshold.id = notice.threshold_id
  JOIN budgets_budget budget ON budget.id = threshold.budget_id
  JOIN accounts_organization organization ON organization.id = budget.organization_id;
"""
REVERSE = """
INSERT INTO budgets_budgetnotice (
    id, created_at, updated_at, organization_id, threshold_id, recipient_id, fired_at, spent, due_at, failures, sent_at
)
SELECT id, created_at, updated_at, organization_id, (facts ->> 'threshold')::uuid, recipient_id,
       (facts ->> 'fired_at')::timestamptz, (facts ->> 'spent')::numeric, due_at, attempts, sent_at
  FROM outbox_mail
 WHERE kind = 'budget.mark';
DELETE FROM outbox_mail WHERE kind = 'budget.mark';
"""


class Migration(migrations.Migration):
    dependencies = [("budgets", "0002_ledger"), ("outbox", "0001_initial")]

    operations = [
        migrations.RunSQL(FORWARD, REVERSE),
        migrations.DeleteModel(name="BudgetNotice"),
    ]
