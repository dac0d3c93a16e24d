"""From a file to staged lines: checked, narrowed, and copied into the table of lines a batch at a time.

Each batch commits with the bill's counts under a lock on the bill's row, which also finds out whoever has been put out
by another reader. Reading begins anew when it was cut off: a text file has no place to go on from, and costs seconds.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now

from costs.bills import formats
from costs.bills.formats import BillRefused
from costs.bills.models import Bill, BilledMachine, BillGap, BillLine
from costs.bills.reading import BillFile, Lines
from forge.db import scope
from forge.db.ids import uuid7
from forge.db.models import ArchivedMonth
from workspaces.models import ProviderAccount

_COPY = """
    COPY costs_billline (bill_id, resource, account, starts, ends, part, amount, quantity) FROM STDIN (FORMAT csv)
"""

# A machine whose row ended too early may have been taken over by another organization of the account (docs/fleet.md),
# and the bill has one name for both rows: a line is that of the newest that had begun before it ended. Theirs get the
# id of their row, which booking passes over.
_ELSEWHERE = """
    UPDATE costs_billline line SET resource = whose.id::text
      FROM (
          SELECT staged.id AS line_id, newest.*
            FROM (
                SELECT DISTINCT mine.provider_id
                  FROM workspaces_workspace mine
                  JOIN workspaces_workspace theirs
                    ON theirs.provider_id = mine.provider_id AND theirs.organization_id <> mine.organization_id
                 WHERE mine.organization_id = %(organization)s AND mine.provider_id LIKE 'ws-%%'
            ) shared
            JOIN costs_billline staged ON staged.bill_id = %(bill)s AND staged.resource = shared.provider_id
           CROSS JOIN LATERAL (
               SELECT machine.id, machine.organization_id
                 FROM workspaces_workspace machine
                 JOIN workspaces_provideraccount account ON account.id = machine.provider_account_id
                WHERE machine.provider_id = staged.resource
                  AND (machine.organization_id = %(organization)s OR account.account = staged.account)
                ORDER BY machine.launched_at < staged.ends DESC NULLS LAST,
                         CASE WHEN machine.launched_at < staged.ends THEN machine.launched_at END DESC NULLS LAST,
                         machine.launched_at, machine.terminated_at DESC NULLS FIRST, machine.id
                LIMIT 1
           ) newest
      ) whose
     WHERE line.id = whose.line_id AND whose.organization_id <> %(organization)s
"""

# A FOCUS file may name a machine by AWS's id in one line and by ours in another: booking wants one name for each. Where
# several rows of ours have had the same id of AWS, the line keeps which of them it means.
_ONE_NAME = """
    UPDATE costs_billline line SET resource = machine.provider_id, machine_id = machine.id
      FROM workspaces_workspace machine
     WHERE machine.organization_id = %(organization)s AND machine.provider_id <> ''
       AND line.bill_id = %(bill)s AND line.resource = machine.id::text
       AND (
           EXISTS (SELECT FROM costs_billline other
                    WHERE other.bill_id = %(bill)s AND other.resource = machine.provider_id)
           OR machine.provider_id LIKE 'ws-%%'
           AND EXISTS (SELECT FROM workspaces_workspace other
                        WHERE other.organization_id = machine.organization_id
                          AND other.provider_id = machine.provider_id AND other.id <> machine.id)
       )
"""


class BillOfNobody(BillRefused):
    code = "bill_of_nobody"
    title = "The bill is of no account of this organization"
    suggested_action = "Register the provider account first, or give the bill to the organization that has it."


class BillOfSeveralMonths(BillRefused):
    code = "bill_of_several_months"
    title = "The file holds more than one billing period"
    suggested_action = "Give each month's file by itself."


class BillNotClosed(BillRefused):
    code = "bill_not_closed"
    title = "The month has not ended, so its bill still changes"
    suggested_action = "Import it when the provider has closed the month."


class BillTooOld(BillRefused):
    code = "bill_too_old"
    title = "The month's cost records are archived and never change"


class BillInOtherCurrency(BillRefused):
    code = "bill_in_other_currency"
    title = "The bill is not in the organization's currency"


class BillTooLong(BillRefused):
    code = "bill_too_long"
    title = "The bill has more lines than are read"


class BillTooHigh(BillRefused):
    code = "bill_too_high"
    title = "The bill comes to more than can be kept"


class PutOut(Exception):
    """Another one reads this bill now, or it was called off: nothing more may be written."""


def stage(*, bill: Bill, path: Path, now: datetime, beat: Callable[[], None] = lambda: None) -> None:
    """Read the file and stage its lines; the bill is BOOKING then. Raises BillRefused and PutOut."""
    file = BillFile(path)
    own = ProviderAccount.objects.filter(organization_id=bill.organization_id).values_list("account", flat=True)
    accounts = frozenset(own)
    reader = _begin(bill, file)
    found: set[str] = set()
    months: set[date] = set()
    gross = Decimal(0)
    for lines in file.lines(accounts):
        beat()
        found |= lines.accounts
        months |= lines.months
        _check(bill, lines, months, now)
        gross += (
            (pc.sum(pc.abs(lines.machine["amount"])).as_py() or 0) + abs(lines.others_amount) + abs(lines.tax_amount)
        )
        if gross >= formats.MOST:
            raise BillTooHigh(f"{formats.MOST} {bill.organization.currency} or more.")
        with transaction.atomic():
            _lock(bill, reader)
            _copy(bill, lines)
            _count(bill, lines)
    if not found:
        raise BillOfNobody(f"None of its accounts is one of: {', '.join(sorted(accounts)) or 'none'}.")
    with transaction.atomic():
        _lock(bill, reader)
        bill.month, bill.accounts = months.pop(), sorted(found)
        bill.currency, bill.format, bill.state = bill.organization.currency, file.layout.name, Bill.State.BOOKING
        bill.save()
        with connection.cursor() as cursor:
            given: dict[str, Any] = {"bill": bill.pk, "organization": bill.organization_id}
            with (
                scope.system()
            ):  # rows of others in the same AWS account are asked for when they began, to be passed over
                cursor.execute(_ELSEWHERE, given)
            if file.names_machines:
                cursor.execute(_ONE_NAME, given)


def forget(bill: Bill) -> None:
    """Take away whatever is staged of the bill, and what it has put down of machines and gaps."""
    BillLine.objects.filter(bill_id=bill.pk).delete()
    BillGap.objects.filter(bill=bill).delete()
    BilledMachine.objects.filter(bill=bill).delete()


def _begin(bill: Bill, file: BillFile) -> uuid.UUID:
    """Put out whoever was reading and begin with nothing."""
    reader = uuid7()
    with transaction.atomic():
        locked = Bill.objects.select_for_update(no_key=True, of=("self",)).get(pk=bill.pk)
        if locked.state != Bill.State.READING:
            raise PutOut(str(bill.pk))
        forget(bill)
        for name in ("lines", "machine_lines", "settled_lines", "other_lines", "elsewhere_lines"):
            setattr(bill, name, 0)
        bill.machine_amount = bill.other_amount = bill.tax_amount = 0
        bill.reading, bill.format = reader, file.layout.name
        bill.save()
    return reader


def _lock(bill: Bill, reader: uuid.UUID) -> None:
    mine = Bill.objects.select_for_update(no_key=True, of=("self",)).filter(
        pk=bill.pk, reading=reader, state=Bill.State.READING
    )
    if not mine.exists():
        raise PutOut(str(bill.pk))


def _check(bill: Bill, lines: Lines, months: set[date], now: datetime) -> None:
    if len(months) > 1:
        raise BillOfSeveralMonths(f"It holds {', '.join(f'{month:%Y-%m}' for month in sorted(months))}.")
    for month in months:
        if month >= now.astimezone(UTC).date().replace(day=1):
            raise BillNotClosed(f"{month:%Y-%m} ends when the next month begins in UTC.")
        if ArchivedMonth.objects.filter(table="costs_costrecord", month=month).exists():
            raise BillTooOld(f"{month:%Y-%m} has left the database.")
    currency = bill.organization.currency
    if other := sorted(lines.currencies - {currency}):
        raise BillInOtherCurrency(f"It is in {other[0]}; the organization reckons in {currency}.")
    if bill.lines + lines.count > settings.FORGE_BILL_MOST_LINES:
        raise BillTooLong(f"More than {settings.FORGE_BILL_MOST_LINES} lines.")


def _copy(bill: Bill, lines: Lines) -> None:
    table = lines.machine
    if not table.num_rows:
        return
    table = table.sort_by("resource")  # neighbours in the index are written together
    rows = table.add_column(0, "bill_id", pa.array([str(bill.pk)] * table.num_rows))
    text = pa.table({name: pc.cast(rows[name], pa.string()) for name in rows.column_names})
    buffer = io.BytesIO()
    pacsv.write_csv(text, buffer, pacsv.WriteOptions(include_header=False))
    with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        copy.write(buffer.getbuffer())


def _count(bill: Bill, lines: Lines) -> None:
    table = lines.machine
    bill.lines += lines.count
    bill.machine_lines += table.num_rows
    bill.other_lines += lines.others
    bill.elsewhere_lines += lines.elsewhere
    bill.machine_amount += pc.sum(table["amount"]).as_py() or 0
    bill.other_amount += lines.others_amount
    bill.tax_amount += lines.tax_amount
    Bill.objects.filter(pk=bill.pk).update(lines=bill.lines, machine_lines=bill.machine_lines, updated_at=Now())
