"""The doctor: what it finds, how it says to mend it, its exit code, and that it changes nothing."""

from __future__ import annotations

import io
import json
import socketserver
import threading
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import OperationalError
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from audit.models import AuditLog
from forge.console import doctor, health
from forge.db.models import JobRun
from forge.schedule import BEAT_SCHEDULE
from tests import world as worlds
from tests.audit.support import SIGNING_KEY
from tests.factories import UserFactory
from workspaces import access, aws
from workspaces.models import ProviderAccount
from workspaces.simulator.server import Simulator

pytestmark = pytest.mark.django_db


@pytest.fixture
def well(settings, tmp_path):
    """An installation with all that it needs, whose jobs ran just now."""
    settings.FORGE_AUDIT_SIGNING_KEY, settings.FORGE_AUDIT_SINKS = SIGNING_KEY, [f"directory:{tmp_path}"]
    settings.FORGE_ARCHIVE = f"directory:{tmp_path}"
    now = timezone.now()
    for job in BEAT_SCHEDULE:
        JobRun.objects.create(job=job, slot=now, started_at=now, finished_at=now, outcome="SUCCEEDED")


def found(check, *, far=False, now=None):
    return {one.check: one for one in doctor.findings(now or timezone.now(), far=far)}[check]


def run(*arguments):
    """The exit code and what was printed."""
    out = io.StringIO()
    try:
        call_command("doctor", *arguments, stdout=out)
    except SystemExit as ended:
        return ended.code, out.getvalue()
    return 0, out.getvalue()


def test_all_is_well_but_for_the_settings_of_a_test(well):
    bad = [one for one in doctor.findings(timezone.now()) if one.status != "ok"]
    assert {one.check for one in bad} <= {"settings"}


def test_a_queue_without_a_worker_is_a_fault_and_the_command_ends_with_1(well):
    JobRun.objects.filter(job__in=["send_mails"]).update(started_at=timezone.now() - timedelta(hours=2))
    JobRun.objects.filter(job="audit_seal").delete()
    JobRun.objects.filter(job="audit_verify").update(started_at=timezone.now() - timedelta(hours=2))
    code, text = run("--near")
    assert code == 1
    assert "fault   worker mail: last heard of at" in text
    assert "fault   worker seal: never heard of" in text
    assert "→ Start beat and `celery -A forge worker -Q seal`." in text
    assert "ok      worker sweeps: heard of" in text


def heard(job, at):
    JobRun.objects.create(job=job, slot=at, started_at=at, finished_at=at, outcome="SUCCEEDED")


def test_a_queue_that_has_had_no_time_to_be_heard_of_is_no_fault():
    now = timezone.now()
    heard("audit_seal", now - timedelta(seconds=20))
    assert found("worker sweeps", now=now).status == "ok"
    assert found("worker sweeps", now=now).text == "not heard of yet, 20 s after the start"
    later = found("worker sweeps", now=now + timedelta(hours=1))
    assert (later.status, later.text) == ("fault", "never heard of")


def test_a_schedule_that_never_began_is_a_fault_a_while_after_the_schema_was_made():
    migrated = MigrationRecorder.Migration.objects.latest("applied").applied
    assert found("worker seal", now=migrated + timedelta(seconds=30)).status == "ok"
    assert found("worker seal", now=migrated + timedelta(hours=1)).status == "fault"


def test_a_job_that_is_paused_still_tells_of_its_worker(well):
    JobRun.objects.filter(job="send_mails").update(outcome="PAUSED")
    assert found("worker mail").status == "ok"


def test_without_faults_the_command_ends_with_0_and_tells_json(well, monkeypatch):
    monkeypatch.setattr(doctor, "_settings", lambda: iter(()))
    code, text = run("--near", "--json")
    told = json.loads(text)
    assert (code, told["status"]) == (0, "ok"), text
    assert {"check", "status", "text", "mend"} == set(told["findings"][0])


def test_whatever_is_not_well_says_how_to_mend_it(monkeypatch):
    for name in health.CHECKS:
        for status in ("degraded", "failed"):
            monkeypatch.setitem(health.CHECKS, name, lambda status=status: health.Finding(status, "as it is"))
    told = list(doctor._health())
    assert len(told) == len(health.CHECKS)
    assert all(one.mend and one.status == "fault" for one in told)


def test_a_lost_database_ends_the_visit_with_its_fault(monkeypatch):
    def lost():
        raise OperationalError("password and host")

    monkeypatch.setitem(health.CHECKS, "database", lost)
    told = doctor.findings(timezone.now(), far=True)
    assert {one.check for one in told} == set(health.CHECKS)
    assert run()[0] == 1


@pytest.mark.parametrize(("seconds", "status"), [(0, "ok"), (-4, "warning"), (4, "warning"), (-30, "fault")])
def test_clocks_that_differ_are_found(monkeypatch, seconds, status):
    real = timezone.now
    monkeypatch.setattr(doctor.timezone, "now", lambda: real() + timedelta(seconds=seconds))
    assert doctor._clock().status == status


def test_a_mail_server_is_greeted_and_sent_nothing(settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    heard: list[bytes] = []

    class Server(socketserver.StreamRequestHandler):
        def handle(self):
            self.wfile.write(b"220 mail.test\r\n")
            for line in self.rfile:
                heard.append(line.split()[0].lower())
                self.wfile.write(b"250 mail.test\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings.EMAIL_HOST, settings.EMAIL_PORT = server.server_address
        (told,) = doctor._mail()
        server.shutdown()
    assert (told.status, told.text) == ("ok", f"127.0.0.1:{settings.EMAIL_PORT} took us in")
    assert not set(heard) - {b"ehlo", b"quit"}
    (told,) = doctor._mail()
    assert told.status == "fault"
    assert "EMAIL_URL" in told.mend


def test_a_sink_that_is_gone_is_a_fault(well, settings, tmp_path):
    settings.FORGE_AUDIT_SINKS = [f"directory:{tmp_path}", f"directory:{tmp_path}/gone", "log:"]
    told = {one.check: one.status for one in doctor._sinks()}
    assert told == {f"sink directory:{tmp_path}": "ok", f"sink directory:{tmp_path}/gone": "fault"}


class TestProviderAccounts:
    @pytest.fixture
    def simulator(self, settings):
        with Simulator(port=0, speed=1e-6) as running:
            settings.AWS_ENDPOINT_URL = running.url
            yield running

    @pytest.fixture
    def account(self, transactional_db, simulator):
        worlds.build()
        return ProviderAccount.objects.select_related("organization").get()

    def troubles(self, account):
        return access.ask(account, now=timezone.now())

    def test_one_that_may_everything_has_no_trouble_and_nothing_is_changed(self, account, simulator):
        before, entries = simulator.control.machines(), AuditLog.objects.count()
        assert self.troubles(account) == []
        assert simulator.control.machines() == before
        assert AuditLog.objects.count() == entries

    @pytest.mark.parametrize(
        ("operation", "text"),
        [
            ("DescribeWorkspaces", "see machines"),
            ("DescribeWorkspaceDirectories", "see directories"),
            ("DescribeWorkspacesConnectionStatus", "see who is connected"),
            ("GetResources", "read tags"),
            ("GetMetricData", "read metrics"),
            ("StartWorkspaces", "start machines"),
            ("StopWorkspaces", "stop machines"),
            ("RebootWorkspaces", "reboot machines"),
            ("TerminateWorkspaces", "terminate machines"),
            ("ModifyWorkspaceProperties", "modify machines"),
        ],
    )
    def test_a_permission_that_the_role_lacks_is_named(self, account, simulator, operation, text):
        simulator.control.fault("access_denied", operation=operation, count=3)
        assert [one for one in self.troubles(account) if text in one.text]

    def test_a_directory_that_is_not_registered_is_named(self, account):
        account.directory_id = "d-0000000000"
        (trouble,) = self.troubles(account)
        assert "d-0000000000" in trouble.text

    @pytest.mark.parametrize("services", [["WORKSPACES_PERSONAL"], ["WORKSPACES_APPLICATIONS"]])
    def test_an_account_that_is_not_the_one_that_aws_answers_as_is_named(self, account, monkeypatch, services):
        account.services = services
        monkeypatch.setattr(aws.Gateway, "account_number", lambda self: "210987654321")
        (trouble,) = self.troubles(account)
        assert "AWS answers as account 210987654321" in trouble.text
        assert account.account in trouble.text

    def test_that_the_account_may_not_be_asked_for_is_named(self, account, simulator):
        simulator.control.fault("access_denied", operation="GetCallerIdentity", count=1)
        (trouble,) = self.troubles(account)
        assert "tell its account" in trouble.text

    def test_an_aws_that_does_not_answer_is_one_fault(self, account, settings):
        settings.AWS_ENDPOINT_URL = "http://127.0.0.1:1"
        (trouble,) = self.troubles(account)
        assert "does not answer" in trouble.text
        assert found(f"provider account {account.organization.slug}/{account.name}", far=True).status == "fault"

    def test_a_throttle_is_no_fault(self, account, simulator):
        simulator.control.fault("throttling", rate=1.0)
        (trouble,) = self.troubles(account)
        assert trouble.is_passing

    def test_no_machine_can_have_the_id_that_is_asked_for(self):
        assert len(access.NO_MACHINE) > len("ws-123456789")


class TestThePage:
    def page(self, client, user, query=""):
        client.force_login(user)
        return client.get(f"/admin/system/{query}").content.decode()

    def test_operators_see_how_to_mend_and_may_have_aws_asked(self, client, monkeypatch):
        asked = []
        monkeypatch.setattr(doctor, "_accounts", lambda now: asked.append(now) or iter(()))
        heard("audit_verify", timezone.now() - timedelta(hours=2))
        page = self.page(client, UserFactory(organization=None))
        assert "celery -A forge worker -Q seal" in page
        assert "?doctor=far" in page
        assert asked == []
        self.page(client, UserFactory(organization=None), "?doctor=far")
        assert len(asked) == 1

    def test_admins_of_an_organization_have_nobody_asked(self, client, monkeypatch):
        monkeypatch.setattr(doctor, "_accounts", lambda now: pytest.fail("it tells of all organizations"))
        world = worlds.build()
        page = self.page(client, world.admin, "?doctor=far")
        assert "How to mend it" in page
        assert "?doctor=far" not in page
