"""The monthly job: each subscriber gets one mail with the report, whatever is killed and however often it runs."""

import hashlib
import itertools
import linecache
import sys
from datetime import UTC, date, datetime, time, timedelta

import pytest
from django.core import mail as django_mail
from django.core.management import call_command
from django.utils import timezone

from audit.actors import Actor
from audit.models import AuditLog
from costs.models import IssuedReport, MeterMark, ReportFile, ReportSubscription
from costs.showback import sending, services
from costs.showback.models import ReportFormat
from forge.accounts.models import Membership
from forge.db.months import add_months, month_of
from forge.outbox.models import Mail
from forge.outbox.sending import send as send_mails
from tests import world as worlds
from tests.costs.showback.support import AFTER, MONTH, pages_of, spend
from tests.factories import WorkSpaceFactory

pytestmark = pytest.mark.django_db
JOB = Actor.job("send_cost_reports")


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def world():
    return worlds.build()


def subscribe(world, person, by="team", team=None, kind="SHOWBACK", at=datetime(2026, 2, 10, tzinfo=UTC)):
    return ReportSubscription.objects.create(
        organization=world.organization, user=person, team=team, by=by, kind=kind, created_at=at
    )


def run(now=AFTER):
    return sending.send(actor=JOB, now=now)


def told():
    return sorted(Mail.objects.values_list("recipient_id", "dedupe_key"))


def test_each_subscriber_gets_the_pdf_that_was_issued_once(world):
    spend(world, 40)
    spend(world, 2, team=world.team, user=world.lead)
    subscribe(world, world.finance)
    subscribe(world, world.admin)
    subscribe(world, world.lead, by="user", team=world.team)
    assert run() == {"reports": 2, "mails": 3, "waiting": 0, "failed": 0, "left": 0}
    before = told()
    assert run(AFTER + timedelta(minutes=5)) == {"reports": 0, "mails": 0, "waiting": 0, "failed": 0, "left": 0}
    assert told() == before
    assert AuditLog.objects.filter(action_type="COST_EXPORT", actor_kind="JOB").count() == 2

    send_mails(now=AFTER)
    assert sorted(message.to[0] for message in django_mail.outbox) == sorted(
        person.email for person in (world.finance, world.admin, world.lead)
    )
    message = next(one for one in django_mail.outbox if one.to == [world.lead.email])
    assert message.subject == f"Forge: showback of February 2026 by person, team {world.team.name}: 42.00 USD"
    name, content, kind = message.attachments[0]
    issued = IssuedReport.objects.get(team=world.team)
    assert (name, kind, issued.is_scheduled) == ("showback-user-2026-02.pdf", "application/pdf", True)
    assert hashlib.sha256(content).hexdigest() == issued.sha256
    assert "42.00 USD" in pages_of(content)[0]
    assert issued.sha256 in message.body
    run(AFTER + sending.KEPT)
    assert not ReportFile.objects.exists()


def test_killed_between_any_two_lines_it_loses_none_and_sends_none_twice(world, monkeypatch):
    monkeypatch.setitem(services._WRITERS, ReportFormat.PDF, lambda head, lines, file: file.write(b"%PDF"))
    subscribe(world, world.finance)
    subscribe(world, world.admin)

    def kill_at(number):
        seen = itertools.count(1)

        def local(frame, event, arg):
            # At a `with` the commit itself would be torn apart; a database does that whole or not at all.
            is_with = linecache.getline(sending.__file__, frame.f_lineno).lstrip().startswith("with ")
            if event == "line" and not is_with and next(seen) == number:
                raise Killed
            return local

        return lambda frame, event, arg: local if frame.f_code.co_filename == sending.__file__ else None

    kills, known = 0, sys.gettrace()
    for number in itertools.count(1):
        Mail.objects.all().delete()
        now = AFTER.replace(year=2026 + number)  # another month each time: what was issued stays
        ReportSubscription.objects.update(served_month=date(now.year, 1, 1))
        sys.settrace(kill_at(number))
        try:
            run(now)
        except Killed:
            kills += 1
        else:
            break
        finally:
            sys.settrace(known)
        run(now)
        assert Mail.objects.count() == 2, number
        assert set(ReportSubscription.objects.values_list("served_month", flat=True)) == {date(now.year, 2, 1)}, number
        assert IssuedReport.objects.filter(month=date(now.year, 2, 1)).count() == 1, number
    assert kills > 30


@pytest.mark.parametrize(
    ("now", "month"),
    [
        (datetime(2027, 1, 1, 0, 5, tzinfo=UTC), date(2026, 12, 1)),
        (datetime(2028, 3, 1, 0, 5, tzinfo=UTC), date(2028, 2, 1)),
        (datetime(2026, 3, 31, 23, 59, tzinfo=UTC), date(2026, 2, 1)),
    ],
)
def test_the_month_before_is_sent_over_the_turn_of_the_year_and_in_a_leap_february(world, now, month):
    last = (month + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    spend(world, 1, day=last)
    spend(world, 50, day=last + timedelta(days=1))
    spend(world, 70, day=month - timedelta(days=1))
    subscribe(world, world.finance, at=datetime.combine(month, time(1), UTC))
    run(now)
    issued = IssuedReport.objects.get()
    assert (issued.month, issued.amount) == (month, 1)
    assert Mail.objects.get().dedupe_key.endswith(f":{month:%Y-%m}:all:SHOWBACK:team")


def test_it_waits_for_metering_and_then_goes_out_as_provisional(world):
    subscribe(world, world.finance)
    machine = WorkSpaceFactory(organization=world.organization, owner=world.engineer, team=world.team)
    mark = MeterMark.objects.filter(workspace=machine)
    mark.update(next_due_at=datetime(2026, 2, 28, 23, tzinfo=UTC), dirty_from=None)
    assert run()["waiting"] == 1
    assert not Mail.objects.exists()
    assert run(AFTER.replace(hour=18))["mails"] == 1
    assert IssuedReport.objects.get().is_provisional
    send_mails(now=AFTER.replace(hour=18))
    assert "amounts will still change" in django_mail.outbox[0].body
    mark.update(next_due_at=datetime(2026, 3, 31, 23, tzinfo=UTC))
    assert run(datetime(2026, 4, 1, 0, 5, tzinfo=UTC))["waiting"] == 1


def test_a_provisional_report_is_followed_by_the_final_one_once(world):
    """To those who have it, as soon as metering has come to the month's end; whoever came later waits for the next."""
    spend(world, 40)
    subscribe(world, world.finance)
    subscribe(world, world.lead, team=world.team)
    machine = WorkSpaceFactory(organization=world.organization, owner=world.engineer, team=world.team)
    mark = MeterMark.objects.filter(workspace=machine)
    mark.update(next_due_at=datetime(2026, 2, 28, 23, tzinfo=UTC), dirty_from=None)
    evening = AFTER.replace(hour=18)
    assert run(evening)["mails"] == 2
    subscribe(world, world.admin, at=evening)
    assert run(evening + timedelta(minutes=5)) == {"reports": 0, "mails": 0, "waiting": 0, "failed": 0, "left": 0}
    spend(world, 2, team=world.team, user=world.lead)
    mark.update(next_due_at=None)
    next_day = evening + timedelta(days=1)
    assert sending.send(actor=JOB, now=next_day, dry_run=True) == {
        "reports": 2, "mails": 2, "waiting": 0, "failed": 0, "left": 0,
    }  # fmt: skip
    assert run(next_day) == {"reports": 2, "mails": 2, "waiting": 0, "failed": 0, "left": 0}
    assert run(next_day + timedelta(minutes=5)) == {"reports": 0, "mails": 0, "waiting": 0, "failed": 0, "left": 0}
    final = IssuedReport.objects.get(team=None, is_provisional=False)
    assert (final.amount, final.month, final.is_scheduled) == (42, MONTH, True)
    assert {mail.recipient_id for mail in Mail.objects.filter(target_id=final.id)} == {world.finance.id}
    send_mails(now=next_day)
    [told] = [one for one in django_mail.outbox if one.to == [world.finance.email] and "42.00" in one.subject]
    assert "It takes the place of the provisional one of 2026-03-01 18:30 UTC." in told.body
    assert Mail.objects.count() == 4


def test_months_that_passed_without_a_run_are_sent_in_their_order(world):
    for month, amount in ((MONTH, 1), (date(2026, 3, 1), 2), (date(2026, 4, 1), 3)):
        spend(world, amount, day=month)
    subscribe(world, world.finance)
    subscribe(world, world.admin, at=datetime(2026, 4, 20, tzinfo=UTC))
    now = datetime(2026, 5, 1, 0, 5, tzinfo=UTC)
    assert sending.send(actor=JOB, now=now, dry_run=True)["mails"] == 4
    assert run(now) == {"reports": 3, "mails": 4, "waiting": 0, "failed": 0, "left": 0}
    issued = IssuedReport.objects.order_by("issued_at", "id").values_list("month", "amount")
    assert list(issued) == [(MONTH, 1), (date(2026, 3, 1), 2), (date(2026, 4, 1), 3)]
    assert run(now + timedelta(minutes=5))["reports"] == 0


def test_a_month_that_fails_or_waits_is_not_passed_over(world, monkeypatch):
    subscribe(world, world.finance)
    honest = services._WRITERS[ReportFormat.PDF]

    def write(head, lines, file):
        if head.asked.month == MONTH:
            raise ValueError("broken")
        honest(head, lines, file)

    monkeypatch.setitem(services._WRITERS, ReportFormat.PDF, write)
    now = datetime(2026, 4, 1, 0, 5, tzinfo=UTC)
    with pytest.raises(sending.ReportsFailed) as caught:
        run(now)
    assert caught.value.figures == {"reports": 0, "mails": 0, "waiting": 1, "failed": 1, "left": 0}
    monkeypatch.undo()
    assert run(now)["reports"] == 2


def test_no_more_than_a_year_is_made_up_for(world):
    subscribe(world, world.finance, at=datetime(2024, 1, 10, tzinfo=UTC))
    assert run()["reports"] == 12
    assert IssuedReport.objects.order_by("month").first().month == date(2025, 3, 1)


def test_who_may_not_have_it_any_more_or_came_later_gets_none(world):
    subscribe(world, world.finance)
    subscribe(world, world.lead, team=world.team)
    subscribe(world, world.admin, by="project", at=datetime(2026, 3, 1, 0, 0, 1, tzinfo=UTC))
    Membership.objects.filter(user=world.lead).update(role="engineer")
    assert run()["mails"] == 1
    assert IssuedReport.objects.count() == 1
    Membership.objects.filter(user=world.finance).delete()
    send_mails(now=AFTER)
    assert Mail.objects.get().state == "WITHDRAWN"
    assert set(ReportSubscription.objects.exclude(user=world.admin).values_list("served_month", flat=True)) == {MONTH}


def test_a_dry_run_tells_of_no_report_that_nobody_may_have_any_more(world):
    """The provisional one was sent; then its only reader lost the role, so no run ever makes the final one."""
    subscribe(world, world.lead, team=world.team)
    machine = WorkSpaceFactory(organization=world.organization, owner=world.engineer, team=world.team)
    mark = MeterMark.objects.filter(workspace=machine)
    mark.update(next_due_at=datetime(2026, 2, 28, 23, tzinfo=UTC), dirty_from=None)
    evening = AFTER.replace(hour=18)
    assert run(evening)["mails"] == 1
    mark.update(next_due_at=None)
    Membership.objects.filter(user=world.lead).update(role="engineer")
    subscribe(world, world.engineer)  # of a month that nobody has been sent yet, and may not have it either
    nothing = {"reports": 0, "mails": 0, "waiting": 0, "failed": 0, "left": 0}
    for later in (evening + timedelta(days=1), evening + timedelta(days=2)):
        assert sending.send(actor=JOB, now=later, dry_run=True) == run(later) == nothing


def test_one_that_fails_keeps_no_other_from_going_out(world, monkeypatch):
    other = worlds.build()
    subscribe(world, world.finance)
    subscribe(other, other.finance)
    honest = services._WRITERS[ReportFormat.PDF]

    def write(head, lines, file):
        if head.asked.organization == world.organization:
            raise ValueError("broken")
        honest(head, lines, file)

    monkeypatch.setitem(services._WRITERS, ReportFormat.PDF, write)
    with pytest.raises(sending.ReportsFailed) as caught:
        run()
    assert caught.value.figures == {"reports": 1, "mails": 1, "waiting": 0, "failed": 1, "left": 0}
    assert Mail.objects.get().recipient_id == other.finance.id
    monkeypatch.undo()
    assert run()["mails"] == 1


def test_the_commands_do_the_same_and_write_one_file(world, tmp_path, capsys):
    spend(world, "3.21")
    subscribe(world, world.finance)
    path = tmp_path / "report.csv"
    arguments = ["--organization", world.organization.slug, "--month", "2026-02", "--by", "user", "--to", str(path)]
    call_command("cost_report", *arguments, "--format", "csv", "--json")
    issued = IssuedReport.objects.get()
    assert issued.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert issued.sha256 in capsys.readouterr().out
    before_last = add_months(month_of(timezone.now()), -2)
    ReportSubscription.objects.update(created_at=datetime(2020, 1, 1, tzinfo=UTC), served_month=before_last)
    call_command("send_cost_reports", "--dry-run")
    assert "reports 1, mails 1" in capsys.readouterr().out
    assert not Mail.objects.exists()
    call_command("send_cost_reports")
    assert Mail.objects.count() == 1
