"""What is wrong with this installation and how to mend it: for `manage.py doctor` and the System page.

Near checks ask the database, Redis and the settings. Far ones talk to others (AWS, the mail server, the sinks), which
may take seconds each; none runs within a transaction, and none changes anything.
"""

from __future__ import annotations

import smtplib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import get_connection
from django.db import Error, connection
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Max
from django.utils import timezone

from audit.sealing import keys, sinks
from forge.console import health
from forge.db import jobs
from forge.schedule import BEAT_SCHEDULE, TASK_QUEUES, TASK_ROUTES
from workspaces import access
from workspaces.models import ProviderAccount

OK, WARNING, FAULT = "ok", "warning", "fault"
_OF_HEALTH = {"ok": OK, "degraded": WARNING, "failed": FAULT}

MOST_SKEW, WORST_SKEW = timedelta(seconds=1), timedelta(seconds=10)
"""How far this machine's clock may be from the database's: leases, seals and slots are judged by both."""

MAIL_SECONDS = 5

MENDS = {
    "database": "Start PostgreSQL, or put DATABASE_URL right.",
    "migrations": "Run manage.py migrate.",
    "partitions": "Run manage.py rollover_partitions; it needs DATABASE_OWNER_URL.",
    "redis": "Start Redis, or put REDIS_URL right. Nothing is lost meanwhile.",
    "metering": "Run manage.py meter_costs; see that a worker of queue sweeps runs.",
    "prices": "Set the prices in the console, or run manage.py refresh_prices.",
    "books": "Look at Faults of the books in the console; run manage.py prove_books.",
    "seals": "docs/operations.md, The sealer, says what each problem means.",
    "retention": "Run manage.py rollover_partitions --dry-run: it says what is in the way.",
    "verification": "Tampering: leave all as it is, and run manage.py audit_verify. Else look at the job audit_verify.",
}


@dataclass(frozen=True)
class Diagnosis:
    """What one check found; `mend` is what to do, empty where nothing is."""

    check: str
    status: str
    text: str
    mend: str = ""


def findings(now: datetime, *, far: bool = False) -> list[Diagnosis]:
    """Every check and what it found, in a fixed order; with `far` those that talk to others too."""
    found = list(_health())
    if any(one.check == "database" and one.status == FAULT for one in found):
        return found
    return found + beyond_health(now, far=far)


def beyond_health(now: datetime, *, far: bool = False) -> list[Diagnosis]:
    """The same without what /readyz asks, for who has shown that already."""
    found = [_clock(), *_workers(now), *_settings()]
    return [*found, *_mail(), *_sinks(), *_accounts(now)] if far else found


def worst(found: list[Diagnosis]) -> str:
    """The gravest status of all."""
    return max((one.status for one in found), key=[OK, WARNING, FAULT].index, default=OK)


def _health() -> Iterator[Diagnosis]:
    for name, finding in health.run_checks().items():
        status = _OF_HEALTH[finding.status]
        yield Diagnosis(name, status, finding.detail, "" if status == OK else MENDS[name])


def _clock() -> Diagnosis:
    before = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (theirs,) = cursor.fetchone()
    skew = theirs - (before + (timezone.now() - before) / 2)
    text = f"the database is {skew.total_seconds():+.1f} s from this machine"
    if abs(skew) <= MOST_SKEW:
        return Diagnosis("clock", OK, text)
    status = FAULT if abs(skew) > WORST_SKEW else WARNING
    return Diagnosis("clock", status, text, "Let both keep their time by NTP.")


def _workers(now: datetime) -> Iterator[Diagnosis]:
    """Whether each queue has a worker: it would have begun a job of the schedule lately, paused or not."""
    begun = {run.job: run.started_at for run in jobs.last_runs()}
    since = _scheduled_since(begun.values())
    for queue in TASK_QUEUES:
        name = queue.name
        own = {job: entry for job, entry in BEAT_SCHEDULE.items() if _queue_of(entry["task"]) == name}
        patience = timedelta(seconds=3 * min(entry["schedule"] for entry in own.values()) + 60)
        heard = max((begun[job] for job in own if job in begun), default=None)
        mend = f"Start beat and `celery -A forge worker -Q {name}`."
        if heard is None and now - since <= patience:
            yield Diagnosis(
                f"worker {name}", OK, f"not heard of yet, {max(0, (now - since).seconds)} s after the start"
            )
        elif heard is None:
            yield Diagnosis(f"worker {name}", FAULT, "never heard of", mend)
        elif now - heard > patience:
            yield Diagnosis(f"worker {name}", FAULT, f"last heard of at {heard:%Y-%m-%d %H:%M:%S} UTC", mend)
        else:
            yield Diagnosis(f"worker {name}", OK, f"heard of {max(0, (now - heard).seconds)} s ago")


def _scheduled_since(begun: Iterable[datetime]) -> datetime:
    """Since when jobs of every queue can have begun: the first one did, or else the schema was last migrated."""
    migrated = MigrationRecorder.Migration.objects.aggregate(at=Max("applied"))["at"]
    return min(begun, default=migrated)


def _queue_of(task: str) -> str:
    return TASK_ROUTES.get(task, {}).get("queue", settings.CELERY_TASK_DEFAULT_QUEUE)


def _settings() -> Iterator[Diagnosis]:
    """What `check --deploy` says."""
    told = _messages()
    for message in told:
        status = FAULT if message.is_serious() else WARNING
        yield Diagnosis("settings", status, f"{message.id}: {message.msg}", message.hint or "Put the setting right.")
    if not told:
        yield Diagnosis("settings", OK, "check --deploy has no findings")


@cache
def _messages() -> list[checks.CheckMessage]:
    """Settings stay as they are while a process lives, so they are judged once."""
    found = checks.run_checks(include_deployment_checks=True)
    return [message for message in found if message.level >= checks.WARNING and not message.is_silenced()]


def _mail() -> Iterator[Diagnosis]:
    """Signs in to the mail server, where one is set, and sends nothing."""
    backend = settings.EMAIL_BACKEND.rpartition(".")[0].rpartition(".")[2]
    if backend != "smtp":
        yield Diagnosis(
            "mail", OK if backend == "filebased" else WARNING, f"no mail server: {backend}", "Set EMAIL_URL."
        )
        return
    server = get_connection(timeout=MAIL_SECONDS)
    where = f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}"
    try:
        server.open()
    except (OSError, smtplib.SMTPException) as error:
        yield Diagnosis(
            "mail", FAULT, f"{where}: {type(error).__name__}", "Put EMAIL_URL right, or start the mail server."
        )
    else:
        yield Diagnosis("mail", OK, f"{where} took us in")
    finally:
        server.close()


def _sinks() -> Iterator[Diagnosis]:
    """Reads the newest checkpoint back from each sink that can be read."""
    try:
        origin, places = keys.origin_of(1), sinks.configured()
    except ImproperlyConfigured as error:
        yield Diagnosis("sinks", FAULT, str(error), "Put FORGE_AUDIT_ORIGIN and FORGE_AUDIT_SINKS right.")
        return
    for sink in places:
        if sink.is_readable:
            yield _read(sink, lambda sink=sink: sink.newest(origin))


def _read(sink: sinks.Sink, newest: Callable[[], str | None]) -> Diagnosis:
    try:
        note = newest()
    except sinks.SinkFailed as error:
        return Diagnosis(f"sink {sink.name}", FAULT, str(error), "Mend the sink; it then gets all that it missed.")
    return Diagnosis(f"sink {sink.name}", OK, "answers" if note else "answers, and is empty")


def _accounts(now: datetime) -> Iterator[Diagnosis]:
    for account in ProviderAccount.objects.filter(enabled=True).select_related("organization").order_by("id"):
        name = f"provider account {account.organization.slug}/{account.name}"
        try:
            troubles = access.ask(account, now=now)
        except Error as error:  # the allowance of calls is a row
            yield Diagnosis(name, FAULT, type(error).__name__, MENDS["database"])
            continue
        for trouble in troubles:
            yield Diagnosis(name, WARNING if trouble.is_passing else FAULT, trouble.text, trouble.mend)
        if not troubles:
            yield Diagnosis(name, OK, f"{account.region}: directory and permissions are there")
