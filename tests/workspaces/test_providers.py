"""Opening and closing provider accounts."""

from __future__ import annotations

import pytest

from audit.actors import Actor
from audit.models import AuditLog
from tests import factories
from tests.world import actor
from workspaces import actions, providers
from workspaces.models import ProviderAccount
from workspaces.providers import (
    MayNotManageProviderAccounts,
    PlaceTaken,
    ProviderAccountNameTaken,
    ProviderAccountRefused,
    RegionTaken,
)

pytestmark = pytest.mark.django_db
PLACE = {
    "name": "frankfurt",
    "kind": "AWS",
    "account": "123456789012",
    "region": "eu-central-1",
    "directory_id": "d-9067000000",
    "subnets": ["subnet-0123456789abcdef0"],
    "role_arn": "arn:aws:iam::123456789012:role/forge",
}


@pytest.fixture
def organization():
    return factories.OrganizationFactory()


@pytest.fixture
def admin(organization):
    return factories.MembershipFactory(user__organization=organization, role="admin", team=None).user


def register(who, organization, **changes):
    return providers.register_provider_account(actor=who, organization=organization, **{**PLACE, **changes})


def test_an_admin_and_the_command_line_register_a_provider_account_with_one_entry(organization, admin):
    made = register(actor(admin), organization)
    register(Actor.command("seed_demo"), organization, name="ireland", region="eu-west-1")
    assert (made.region, made.enabled) == ("eu-central-1", True)
    entry = AuditLog.objects.get(resource_id=str(made.pk))
    assert (entry.action_type, entry.organization_id) == (actions.PROVIDER_ACCOUNT_CREATE, organization.id)
    assert AuditLog.objects.filter(organization_id=organization.id).count() == 2


@pytest.mark.parametrize("role", ["engineer", "team_lead", "finance", "auditor"])
def test_no_other_role_manages_provider_accounts(organization, role):
    wide = {"team": None} if role in ("finance", "auditor") else {}
    user = factories.MembershipFactory(user__organization=organization, role=role, **wide).user
    account = factories.ProviderAccountFactory(organization=organization)
    with pytest.raises(MayNotManageProviderAccounts):
        register(actor(user), organization)
    with pytest.raises(MayNotManageProviderAccounts):
        providers.set_enabled(actor=actor(user), provider_account=account, enabled=False)


def test_an_admin_manages_nothing_in_another_organization(admin):
    with pytest.raises(MayNotManageProviderAccounts):
        register(actor(admin), factories.OrganizationFactory())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", " "),
        ("name", "n" * 101),
        ("kind", "AZURE"),
        ("account", "12345"),
        ("account", "12345678901\n"),
        ("region", "Frankfurt"),
        ("directory_id", "directory"),
        ("subnets", ["subnet-x"]),
        ("role_arn", "arn:aws:iam::1:user/x"),
    ],
)
def test_what_aws_would_not_understand_is_refused(organization, admin, field, value):
    with pytest.raises(ProviderAccountRefused, match=field):
        register(actor(admin), organization, **{field: value})
    assert not ProviderAccount.objects.exists()
    assert not AuditLog.objects.exists()


def test_a_name_and_an_enabled_region_are_taken_once(organization, admin):
    first = register(actor(admin), organization)
    with pytest.raises(ProviderAccountNameTaken):
        register(actor(admin), organization, region="eu-west-1")
    with pytest.raises(RegionTaken):
        register(actor(admin), organization, name="other")
    providers.set_enabled(actor=actor(admin), provider_account=first, enabled=False)
    register(actor(admin), organization, name="other")
    with pytest.raises(RegionTaken):
        providers.set_enabled(actor=actor(admin), provider_account=first, enabled=True)


def test_switching_off_is_one_entry_with_before_and_after(organization, admin):
    account = factories.ProviderAccountFactory(organization=organization)
    providers.set_enabled(actor=actor(admin), provider_account=account, enabled=False)
    account.refresh_from_db()
    assert account.enabled is False
    entry = AuditLog.objects.get(resource_id=str(account.pk))
    assert entry.action_type == actions.PROVIDER_ACCOUNT_UPDATE
    assert (entry.changes["before"]["enabled"], entry.changes["after"]["enabled"]) == (True, False)


@pytest.mark.parametrize("theirs", [{"role_arn": ""}, {"directory_id": "d-9067000001"}])
def test_a_directory_and_a_role_belong_to_one_organization(organization, admin, theirs):
    register(actor(admin), organization)
    other = factories.OrganizationFactory()
    with pytest.raises(PlaceTaken) as refused:
        register(Actor.command("tests"), other, **theirs)
    assert str(organization.id) not in refused.value.detail
    assert organization.slug not in refused.value.detail
    assert not other.provider_accounts.exists()
    register(Actor.command("tests"), other, region="eu-west-1", role_arn="")


def test_an_organization_registers_its_directory_and_role_again_after_switching_off(organization, admin):
    first = register(actor(admin), organization)
    providers.set_enabled(actor=actor(admin), provider_account=first, enabled=False)
    assert register(actor(admin), organization, name="again").directory_id == first.directory_id


@pytest.mark.parametrize(
    ("partition", "region"), [("aws", "eu-central-1"), ("aws-us-gov", "us-gov-west-1"), ("aws-cn", "cn-north-1")]
)
def test_a_role_is_one_of_the_account_itself(organization, admin, partition, region):
    role = f"arn:{partition}:iam::{{}}:role/path/forge"
    with pytest.raises(ProviderAccountRefused, match="role of account 210987654321") as refused:
        register(actor(admin), organization, region=region, role_arn=role.format("210987654321"))
    assert refused.value.extra == {"fields": ["account", "role_arn"]}
    assert not ProviderAccount.objects.exists()
    register(actor(admin), organization, region=region, role_arn=role.format(PLACE["account"]))


def test_an_account_without_a_role_is_called_with_forges_own_credentials(organization, admin):
    assert register(actor(admin), organization, role_arn="").role_arn == ""


def test_one_that_was_registered_with_a_role_of_another_account_is_not_switched_on(organization, admin):
    account = register(actor(admin), organization)
    ProviderAccount.objects.update(account="210987654321", enabled=False)
    with pytest.raises(ProviderAccountRefused, match="role of account 123456789012"):
        providers.set_enabled(actor=actor(admin), provider_account=account, enabled=True)
    ProviderAccount.objects.update(enabled=True)
    assert not providers.set_enabled(actor=actor(admin), provider_account=account, enabled=False).enabled
