"""System checks of the log: audit.E001 to E002 what is set wrongly for the seals, audit.W001 to W002 what is not set,
audit.E003 a table or column that is declared as evidence of an entry and does not exist, audit.E004 to E005 what is set
wrongly for the archive and retention."""

from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from audit import places
from audit.archive.policies import policies
from audit.evidence import declared
from audit.sealing import keys
from audit.sealing.sinks import configured


def register() -> None:
    """Give the checks to Django; called once, when the app is ready."""
    checks.register(check_seals, checks.Tags.security)
    checks.register(check_evidence, checks.Tags.models)
    checks.register(check_retention, checks.Tags.security)


def check_seals(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    found: list[checks.CheckMessage] = []
    try:
        keys.verifier_keys()
        keys.origin_of(1)
    except ImproperlyConfigured as error:
        hint = "Make a key with `openssl genpkey -algorithm ed25519`; docs/settings.md explains the settings."
        found.append(checks.Error(str(error), hint=hint, id="audit.E001"))
    else:
        if not keys.verifier_keys() and not settings.DEBUG:
            hint = (
                "Make a key with `openssl genpkey -algorithm ed25519` and set FORGE_AUDIT_SIGNING_KEY_FILE to it, or"
                " FORGE_AUDIT_VERIFIER_KEYS where another process signs."
            )
            found.append(checks.Warning("The audit log is not signed: it has no key.", hint=hint, id="audit.W001"))
    try:
        sinks = configured()
    except ImproperlyConfigured as error:
        found.append(checks.Error(str(error), hint="Correct FORGE_AUDIT_SINKS.", id="audit.E002"))
    else:
        if not any(sink.is_readable for sink in sinks) and not settings.DEBUG:
            hint = "Set FORGE_AUDIT_SINKS, e.g. directory:/srv/forge-checkpoints on another machine's disk, and log:."
            message = "The audit log's checkpoints go to no place outside that can be read back."
            found.append(checks.Warning(message, hint=hint, id="audit.W002"))
    return found


def check_evidence(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    columns = {model._meta.db_table: {field.column for field in model._meta.fields} for model in apps.get_models()}
    found: list[checks.CheckMessage] = []
    for one in declared():
        gone = [name for name in one.columns if name not in columns.get(one.table, ())]
        if gone:
            message = f"{one.table}.{gone[0]} is declared as evidence of an audit entry, and there is no such column."
            found.append(checks.Error(message, hint="Correct `expect` in the room's actions.py.", id="audit.E003"))
    return found


def check_retention(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    found: list[checks.CheckMessage] = []
    try:
        places.configured()
    except ImproperlyConfigured as error:
        found.append(checks.Error(str(error), hint="Correct FORGE_ARCHIVE.", id="audit.E004"))
    for policy in policies():
        try:
            policy.check_setting()
        except ImproperlyConfigured as error:
            found.append(checks.Error(str(error), hint=f"Correct {policy.setting}.", id="audit.E005"))
    return found
