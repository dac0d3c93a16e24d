"""What of machines, directories and stacks is not as safe as asked: found once, told once, resolved once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.admin.sites import site
from django.db import IntegrityError, transaction
from django.utils import timezone

from audit.models import AuditLog
from forge.console.metrics import DatabaseCollector
from forge.db.models import JobRun
from tests import factories
from tests.workspaces import streams
from tests.workspaces.simulator.cloud import Cloud
from tests.workspaces.support import client_of, launch, machine, problem
from tests.world import actor
from workspaces import aws, tasks
from workspaces.aws import gateway
from workspaces.aws.stacks import TRANSFERS
from workspaces.lifecycle import State
from workspaces.models import Attestation, Finding, ProviderAccount, WorkSpace
from workspaces.places import place_of
from workspaces.posture import attesting, checks, keeping, sweep
from workspaces.posture.sweep import PostureUnchecked, check
from workspaces.providers import set_services
from workspaces.reconcile import reconcile

FINDINGS = "/api/v1/findings/"
OPENED, RESOLVED = "FINDING_OPEN", "FINDING_RESOLVE"


def attest(world, *, at, days=30, controls=tuple(Attestation.Control.values), **more):
    return attesting.attest(
        actor=actor(world.admin),
        account=world.account,
        controls=list(controls),
        valid_until=at + timedelta(days=days),
        note="GPO WorkSpaces-Lockdown",
        now=at,
        **more,
    )


@pytest.fixture(autouse=True)
def attested(world):
    """Somebody vouches for the group policies of the directory, so that what AWS shows is found alone."""
    return attest(world, at=timezone.now() - timedelta(days=1))


@pytest.fixture
def cloud(world, simulator):
    """AWS as somebody uses it past Forge."""
    cloud = Cloud(simulator.url, access_key=world.account.account)
    cloud.directory_id = world.account.directory_id
    return cloud


@pytest.fixture
def launched(world, clock):
    """A machine that Forge launched."""
    operation = clock.finish(launch(world, clock))
    assert operation.status == "succeeded", operation.error
    return machine()


def count(action):
    return AuditLog.objects.filter(action_type=action).count()


def open_checks():
    return sorted(Finding.objects.open().values_list("check_name", flat=True))


def directory_allows(cloud, **properties):
    cloud.api.modify_workspace_creation_properties(
        ResourceId=cloud.directory_id, WorkspaceCreationProperties=properties
    )


def test_a_launched_machine_is_asked_for_with_both_volumes_encrypted_and_nothing_is_found(world, launched):
    seen = aws.Gateway(place_of(world.account)).describe([launched.provider_id])[launched.provider_id]
    assert (seen.protocols, seen.root_encrypted, seen.user_encrypted) == (("WSP",), True, True)
    figures = check(now=timezone.now())
    assert (figures["machines"], figures["directories"], figures["opened"]) == (1, 1, 0)
    assert not Finding.objects.exists()


@pytest.mark.parametrize("missing", ["RootVolumeEncryptionEnabled", "UserVolumeEncryptionEnabled"])
def test_a_machine_that_aws_made_without_encryption_is_found_as_soon_as_it_runs(world, clock, monkeypatch, missing):
    real = gateway._machine
    monkeypatch.setattr(gateway, "_machine", lambda row: real({**row, missing: False}))
    clock.finish(launch(world, clock))
    found = Finding.objects.get()
    assert (found.check_name, found.severity, found.workspace) == ("volume_encryption", "HIGH", machine())
    assert found.detail == {"root": not missing.startswith("Root"), "user": not missing.startswith("User")}
    entry = AuditLog.objects.get(action_type=OPENED)
    assert (entry.resource_id, entry.organization_id) == (str(found.id), world.organization.id)
    monkeypatch.undo()


def test_what_stands_is_found_once_and_what_is_put_right_is_resolved_once(world, cloud):
    directory_allows(cloud, EnableInternetAccess=True, UserEnabledAsLocalAdministrator=True)
    cloud.api.modify_selfservice_permissions(
        ResourceId=cloud.directory_id, SelfservicePermissions={"RebuildWorkspace": "ENABLED"}
    )
    now = timezone.now()
    assert check(now=now)["opened"] == 3
    assert open_checks() == ["internet_access", "local_administrator", "self_service"]
    assert Finding.objects.get(check_name="self_service").detail == {"enabled": ["RebuildWorkspace"]}
    assert check(now=now + timedelta(hours=1))["opened"] == 0
    assert set(Finding.objects.values_list("found_at", flat=True)) == {now}
    directory_allows(cloud, EnableInternetAccess=False)
    assert check(now=now + timedelta(hours=2))["resolved"] == 1
    assert open_checks() == ["local_administrator", "self_service"]
    assert Finding.objects.get(check_name="internet_access").resolved_at == now + timedelta(hours=2)
    assert (count(OPENED), count(RESOLVED)) == (3, 1)
    directory_allows(cloud, EnableInternetAccess=True)
    check(now=now + timedelta(hours=3))
    assert Finding.objects.filter(check_name="internet_access").count() == 2  # what was resolved stays


def test_another_permission_changes_what_is_found_and_opens_nothing(world, cloud):
    for name in ("RebuildWorkspace", "RestartWorkspace"):
        cloud.api.modify_selfservice_permissions(
            ResourceId=cloud.directory_id, SelfservicePermissions={name: "ENABLED"}
        )
        check(now=timezone.now())
    assert Finding.objects.get().detail == {"enabled": ["RestartWorkspace", "RebuildWorkspace"]}
    assert count(OPENED) == 1


def test_a_machine_made_past_forge_is_found_unencrypted_until_it_ends(world, cloud, simulator):
    made = cloud.launch("ann")
    simulator.control.advance(600)
    row = factories.WorkSpaceFactory(
        organization=world.organization,
        provider_account=world.account,
        provider_id=made,
        directory_id=cloud.directory_id,
        directory_user="ann",
        state=State.AVAILABLE,
        domain_joined=True,
    )
    check(now=timezone.now())
    assert open_checks() == ["volume_encryption"]
    WorkSpace.objects.filter(pk=row.pk).update(domain_joined=False)
    check(now=timezone.now())
    assert open_checks() == ["domain_join", "volume_encryption"]
    with transaction.atomic():
        WorkSpace.objects.filter(pk=row.pk).update(state=State.TERMINATING)
        WorkSpace.objects.filter(pk=row.pk).update(state=State.TERMINATED, terminated_at=timezone.now())
    assert check(now=timezone.now())["resolved"] == 2
    assert open_checks() == []


@pytest.mark.parametrize("protocols", [("PCOIP",), (), ("PCOIP", "WSP")])
def test_a_machine_is_found_unless_it_is_shown_with_dcv_alone(protocols):
    seen = aws.Machine("ws-1", "d-1", "ann", "AVAILABLE", "wsb-1", "STANDARD", "AUTO_STOP", None, "")
    seen = aws.Machine(**{**vars(seen), "protocols": protocols, "root_encrypted": True, "user_encrypted": True})
    (found,) = checks.of_machine(seen, workspace_id="1", is_joined=True)
    assert (found.check, found.detail) == ("protocol", {"protocols": list(protocols)})


def stack_told():
    entries = AuditLog.objects.filter(action_type="APPLICATION_STACK_CLOSE").order_by("id")
    return [(one.changes["before"]["enabled"], one.changes["after"]["enabled"]) for one in entries]


def shown_of(simulator):
    (shown,) = streams.api(simulator).describe_stacks(Names=["engineering"])["Stacks"]
    return {one["Action"]: one["Permission"] for one in shown["UserSettings"]}


def test_a_stack_is_closed_as_soon_as_it_is_offered_and_nothing_else_of_it_changes(world, simulator, clock):
    streams.stack(simulator, world.organization)
    before = shown_of(simulator)
    reconcile(now=clock.now)
    after = shown_of(simulator)
    assert {after[name] for name in TRANSFERS} == {"DISABLED"}
    assert {name: before[name] for name in before if name not in TRANSFERS} == {
        name: after[name] for name in after if name not in TRANSFERS
    }
    assert not Finding.objects.exists()
    assert stack_told() == [(list(TRANSFERS), [])]


def test_what_somebody_opens_again_is_closed_by_the_next_check(world, simulator, clock):
    streams.stack(simulator, world.organization)
    reconcile(now=clock.now)
    opened = [{"Action": "FILE_DOWNLOAD", "Permission": "ENABLED"}]
    streams.api(simulator).update_stack(Name="engineering", UserSettings=opened)
    assert check(now=clock.now)["stacks"] == 1
    assert shown_of(simulator)["FILE_DOWNLOAD"] == "DISABLED"
    assert stack_told()[1:] == [(["FILE_DOWNLOAD"], [])]
    assert not Finding.objects.exists()


def test_a_stack_that_aws_does_not_close_is_found_and_tried_again_and_told_once(world, simulator, clock):
    streams.stack(simulator, world.organization)
    simulator.control.fault("no_op", operation="UpdateStack", count=1)
    reconcile(now=clock.now)
    found = Finding.objects.get()
    assert (found.check_name, found.subject) == ("stack_transfers", "engineering")
    assert found.detail == {"enabled": list(TRANSFERS)}
    simulator.control.fault("access_denied", operation="UpdateStack", count=1)
    check(now=clock.now)
    assert Finding.objects.get().detail == {"enabled": list(TRANSFERS), "refused": "AccessDeniedException"}
    assert check(now=clock.now)["resolved"] == 1
    assert len(stack_told()) == 1


def test_an_account_that_does_not_answer_keeps_its_findings_and_fails_the_run(world, cloud, monkeypatch):
    directory_allows(cloud, EnableInternetAccess=True)
    check(now=timezone.now())

    def silent(self, directory_ids):
        raise aws.Unavailable("Silent", "no answer")

    monkeypatch.setattr(aws.Gateway, "directories", silent)
    with pytest.raises(PostureUnchecked) as told:
        check(now=timezone.now())
    assert told.value.figures["unreachable"] == 1
    assert open_checks() == ["internet_access"]


def test_a_finding_and_its_entry_stand_or_fall_together(world, cloud, monkeypatch):
    directory_allows(cloud, EnableInternetAccess=True)

    def full(**_):
        raise RuntimeError("the log is full")

    monkeypatch.setattr(keeping, "record", full)
    with pytest.raises(RuntimeError, match="the log is full"):
        check(now=timezone.now())
    assert not Finding.objects.exists()


def test_the_database_keeps_one_open_finding_per_subject_and_check(world):
    facts = {
        "organization": world.organization,
        "provider_account": world.account,
        "subject": "d-1",
        "check_name": "self_service",
        "severity": "MEDIUM",
        "found_at": timezone.now(),
    }
    Finding.objects.create(**facts)
    for wrong in ({}, {"subject": "d-2", "check_name": "other"}, {"subject": "d-2", "severity": "LOW"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Finding.objects.create(**{**facts, **wrong})
    past = timezone.now() - timedelta(days=1)
    with pytest.raises(IntegrityError), transaction.atomic():
        Finding.objects.update(resolved_at=past)


def test_the_job_runs_once_an_hour(world):
    assert tasks.check_posture()["directories"] == 1
    assert tasks.check_posture() is None
    assert JobRun.objects.get(job=sweep.JOB).outcome == "SUCCEEDED"


def of(world, workspace=None, subject="d-1"):
    return Finding.objects.create(
        organization=world.organization,
        provider_account=world.account,
        workspace=workspace,
        subject=subject,
        check_name="volume_encryption" if workspace else "internet_access",
        severity="HIGH",
        found_at=timezone.now(),
    )


def test_each_role_sees_the_findings_of_what_it_answers_for(world):
    own = factories.WorkSpaceFactory(organization=world.organization, owner=world.engineer, team=world.team)
    other = factories.WorkSpaceFactory(organization=world.organization)
    of(world, own, "ws-1")
    of(world, other, "ws-2")
    of(world)
    seen = {
        name: sorted(row["subject"] for row in client_of(getattr(world, name)).get(FINDINGS).json()["results"])
        for name in ("admin", "lead", "engineer")
    }
    assert seen == {"admin": ["d-1", "ws-1", "ws-2"], "lead": ["ws-1"], "engineer": ["ws-1"]}


def test_findings_are_filtered(world):
    own = factories.WorkSpaceFactory(organization=world.organization, owner=world.engineer, team=world.team)
    of(world, own, "ws-1")
    past = of(world)
    Finding.objects.filter(pk=past.pk).update(resolved_at=timezone.now() + timedelta(minutes=1))
    client = client_of(world.admin)
    assert len(client.get(FINDINGS).json()["results"]) == 2
    for query, subjects in {
        "open=true": ["ws-1"],
        "open=false": ["d-1"],
        "check=internet_access": ["d-1"],
        f"workspace={own.id}": ["ws-1"],
        f"provider_account={world.account.id}&severity=HIGH&subject=d-1": ["d-1"],
    }.items():
        rows = client.get(f"{FINDINGS}?{query}").json()["results"]
        assert [row["subject"] for row in rows] == subjects, query
    assert client.get(f"{FINDINGS}?check=other").status_code == 400


def test_the_console_shows_what_stands_on_a_machine_and_in_an_account(world):
    own = factories.WorkSpaceFactory(organization=world.organization, provider_account=world.account)
    of(world, own, "ws-1")
    for model, row in ((WorkSpace, own), (ProviderAccount, world.account)):
        assert "Volumes are not encrypted (ws-1" in site.get_model_admin(model).findings(row)


def test_the_metrics_count_what_stands_by_check(world):
    of(world)
    of(world, subject="d-2")
    Finding.objects.filter(pk=of(world, subject="d-3").pk).update(resolved_at=timezone.now() + timedelta(minutes=1))
    (family,) = (one for one in DatabaseCollector(timezone.now()).collect() if one.name == "forge_findings_open")
    counts = {sample.labels["check"]: sample.value for sample in family.samples}
    assert counts["internet_access"] == 2
    assert set(counts) == set(Finding.Check.values)
    assert sum(counts.values()) == 2


# -- People's word -----------------------------------------------------------------------------------------------------


def test_policies_that_nobody_attests_or_no_longer_are_found_and_say_by_whom_they_were(world, attested):
    Attestation.objects.filter(control="watermark").delete()
    now = timezone.now()
    assert check(now=now)["opened"] == 1
    found = Finding.objects.get(check_name="attestation")
    assert (found.subject, found.severity, found.is_attested) == (world.account.directory_id, "MEDIUM", True)
    assert (found.detail["never"], found.detail["expired"]) == (["watermark"], [])
    usb = Attestation.objects.get(control="usb")
    assert found.detail["attested"]["usb"] == {
        "on": usb.attested_at.isoformat(),
        "by": str(world.admin.id),
        "until": usb.valid_until.isoformat(),
    }
    attest(world, at=now, days=60, controls=["watermark"])
    assert check(now=now)["resolved"] == 1
    check(now=now + timedelta(days=31))
    later = Finding.objects.open().get(check_name="attestation")
    assert later.detail["expired"] == ["clipboard", "usb", "drives", "printing"]
    attesting.withdraw(
        actor=actor(world.admin), attestation_id=Attestation.objects.get(control="watermark").id, now=now
    )
    check(now=now + timedelta(days=31))
    later.refresh_from_db()
    assert later.detail["never"] == ["watermark"]


def test_an_attestation_is_dated_bounded_and_an_admins(world):
    now = timezone.now()
    for wrong in ({"days": 0}, {"days": 367}, {"controls": []}, {"controls": ["usb", "usb"]}, {"controls": ["other"]}):
        with pytest.raises(attesting.AttestationRefused):
            attest(world, at=now, **wrong)
    with pytest.raises(attesting.UnknownDirectory):
        attest(world, at=now, directory_id="d-0000000000")
    before = Attestation.objects.count()
    for person in (world.lead, world.auditor):
        with pytest.raises(attesting.MayNotAttest):
            attesting.attest(
                actor=actor(person), account=world.account, controls=["usb"], note="n", now=now,
                valid_until=now + timedelta(days=1),
            )  # fmt: skip
    assert Attestation.objects.count() == before


def test_admins_attest_and_withdraw_through_the_api_and_auditors_read(world):
    client, address = client_of(world.admin), "/api/v1/attestations/"
    until = (timezone.now() + timedelta(days=9)).isoformat()
    body = {
        "provider_account": str(world.account.id),
        "controls": ["usb", "printing"],
        "valid_until": until,
        "note": "n",
    }
    answer = client.post(address, body, format="json")
    assert answer.status_code == 201, answer.content
    made = answer.json()["results"]
    assert [(row["control"], row["attested_by"], row["is_valid"]) for row in made] == [
        ("printing", world.admin.email, True),
        ("usb", world.admin.email, True),
    ]
    problem(client.post(address, body | {"provider_account": str(world.team.id)}, format="json"), 422,
            "unknown_provider_account")  # fmt: skip
    withdrawn = client.post(f"{address}{made[0]['id']}/withdraw/")
    assert (withdrawn.status_code, withdrawn.json()["is_valid"]) == (200, False)
    problem(client.post(f"{address}{made[0]['id']}/withdraw/"), 409, "attestation_withdrawn")
    auditor = client_of(world.auditor)
    listed = auditor.get(f"{address}?control=usb&open=true")
    assert len(listed.json()["results"]) == 2
    assert client_of(world.lead).get(address).json()["results"] == []


# -- Zero clients, keys ------------------------------------------------------------------------------------------------


def test_a_directory_that_aws_no_longer_shows_is_found_until_it_is_back_or_nothing_stands_in_it(world, launched):
    account = world.account
    now = timezone.now()
    check(now=now)
    real, gone = account.directory_id, "d-0000000000"
    WorkSpace.objects.update(directory_id=gone)
    for _ in range(2):
        check(now=now)
    found = Finding.objects.get(check_name="directory_missing")
    assert (found.subject, found.severity, found.workspace, found.detail) == (gone, "HIGH", None, {"machines": 1})
    assert open_checks() == ["directory_missing"]
    ProviderAccount.objects.update(directory_id=gone)
    WorkSpace.objects.update(state=State.TERMINATING)
    check(now=now)
    assert Finding.objects.open().get().detail == {"machines": 0}  # the account launches there
    ProviderAccount.objects.update(directory_id=real)
    check(now=now)
    assert open_checks() == []
    assert (count(OPENED), count(RESOLVED)) == (1, 1)


def test_a_directory_that_lets_zero_clients_in_is_found(world, cloud):
    cloud.api.modify_workspace_access_properties(
        ResourceId=cloud.directory_id, WorkspaceAccessProperties={"DeviceTypeZeroClient": "ALLOW"}
    )
    check(now=timezone.now())
    assert open_checks() == ["zero_clients"]


def test_machines_are_encrypted_under_the_key_of_their_account_and_verified(world, clock):
    key = "arn:aws:kms:us-east-1:123456789012:key/0b7a"
    ProviderAccount.objects.update(volume_key=key)
    clock.finish(launch(world, clock))
    seen = aws.Gateway(place_of(world.account)).describe([machine().provider_id])[machine().provider_id]
    assert seen.volume_key == key
    assert check(now=timezone.now())["opened"] == 0
    ProviderAccount.objects.update(volume_key=f"{key}c")
    check(now=timezone.now())
    assert Finding.objects.get().detail == {"wanted": f"{key}c", "shown": key}
    assert Finding.objects.get().workspace == machine()


@pytest.mark.parametrize(
    ("wanted", "shown", "is_another"),
    [
        ("alias/aws/workspaces", "alias/aws/workspaces", False),
        ("alias/a", "arn:aws:kms:us-east-1:1:alias/a", False),
        ("alias/a", "arn:aws:kms:us-east-1:1:alias/b", True),
        ("alias/a", "arn:aws:kms:us-east-1:1:key/b", False),
        ("arn:aws:kms:us-east-1:1:key/a", "arn:aws:kms:us-east-1:1:key/b", True),
        ("alias/a", "", False),
    ],
)
def test_an_alias_is_not_compared_with_the_key_behind_it(wanted, shown, is_another):
    assert checks.is_another_key(wanted, shown) is is_another


def test_a_machine_says_where_its_findings_are_and_its_page_shows_those_of_its_place(world):
    own = factories.WorkSpaceFactory(
        organization=world.organization, owner=world.engineer, team=world.team, provider_account=world.account,
        directory_id=world.account.directory_id,
    )  # fmt: skip
    of(world, own, "ws-1")
    of(world, subject=world.account.directory_id)
    client = client_of(world.engineer)
    link = client.get(f"/api/v1/workspaces/{own.id}/").json()["findings"]
    shown = [(row["subject"], row["basis"]) for row in client.get(link).json()["results"]]
    assert sorted(shown) == [(world.account.directory_id, "CHECKED"), ("ws-1", "CHECKED")]
    page = site.get_model_admin(WorkSpace)
    assert "Directory gives machines internet access" in page.findings(own)
    day = f"{timezone.now() - timedelta(days=1):%Y-%m-%d}"
    assert f"Clipboard is off: attested on {day} by {world.admin}, until" in page.attestations(own)
    Attestation.objects.update(withdrawn_at=timezone.now())
    assert "Clipboard is off: not attested" in page.attestations(own)


def test_findings_of_a_directory_are_seen_by_whoever_has_a_machine_there_and_by_nobody_else(world):
    place = {"organization": world.organization, "provider_account": world.account, "directory_id": "d-1"}
    own = factories.WorkSpaceFactory(**place, owner=world.engineer, team=world.team)
    other = factories.WorkSpaceFactory(**place | {"directory_id": "d-2"})
    account = factories.ProviderAccountFactory(organization=world.organization, region="eu-west-1")
    elsewhere = factories.WorkSpaceFactory(**place | {"provider_account": account}, owner=world.engineer)
    of(world, other, "ws-2")
    of(world)
    of(world, subject="d-2")

    def shown(person, query=""):
        return sorted(row["subject"] for row in client_of(person).get(f"{FINDINGS}{query}").json()["results"])

    for person in (world.lead, world.engineer):
        assert shown(person) == ["d-1"]
        assert shown(person, f"?workspace={own.id}") == ["d-1"]
        assert shown(person, f"?workspace={elsewhere.id}") == []
        assert shown(person, f"?workspace={other.id}") == []
    assert shown(world.finance) == []
    assert shown(world.admin, f"?workspace={other.id}") == ["d-2", "ws-2"]


def test_findings_of_a_directory_in_which_nothing_stands_or_is_launched_any_more_are_resolved(world, simulator, clock):
    cloud = Cloud(simulator.url, access_key=world.account.account)
    opened = {"EnableInternetAccess": True}
    cloud.api.modify_workspace_creation_properties(
        ResourceId=world.account.directory_id, WorkspaceCreationProperties=opened
    )
    check(now=clock.now)
    found = Finding.objects.open().filter(subject=world.account.directory_id)
    assert found.get(check_name="internet_access")
    set_services(
        actor=actor(world.admin), provider_account=world.account, services=["WORKSPACES_APPLICATIONS"], now=clock.now
    )
    assert check(now=clock.now)["directories"] == 0
    assert not found.exists()
    assert AuditLog.objects.filter(action_type=RESOLVED, context__check="internet_access").count() == 1
