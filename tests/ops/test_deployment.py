"""compose.yaml, the Dockerfile and the Kubernetes manifests: of the right form, whole, and of what the code has."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema
from django.conf import settings

from forge.console.exports import SPOOLED
from forge.env import BASE_DIR
from forge.schedule import TASK_QUEUES

QUEUES = {queue.name for queue in TASK_QUEUES}
COMPOSE = yaml.safe_load((BASE_DIR / "compose.yaml").read_text())
TRY = yaml.safe_load((BASE_DIR / "ops/compose/try.yaml").read_text())
BASE = BASE_DIR / "ops/kubernetes/base"
PRODUCTION = BASE_DIR / "ops/kubernetes/production"
EXPLAINED = set(re.findall(r"`([A-Z_0-9]+)`", (BASE_DIR / "docs/settings.md").read_text()))
OF_OTHERS = {"TMPDIR", "POSTGRES_PASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"}
OF_OTHERS |= {"AWS_EC2_METADATA_DISABLED"}
OF_THE_OWNER = {"worker-seal", "worker-sweeps", "migrate"}
SHOW_KEYS = """
import django
django.setup()
from audit.sealing import keys
print(*map(str, keys.verifier_keys()))
"""
SHOW_CURSORS = "from forge.settings import DATABASES; print(DATABASES['default']['DISABLE_SERVER_SIDE_CURSORS'])"
PROGRAMS = {"gunicorn", "celery", "python"}


def manifests() -> Iterator[tuple[str, dict[str, Any]]]:
    for folder in (BASE, PRODUCTION):
        names = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
        for name in names:
            if name != "../base":
                for number, document in enumerate(yaml.safe_load_all((folder / name).read_text())):
                    yield f"{name}:{number}:{document['kind']}/{document['metadata']['name']}", document


MANIFESTS = dict(manifests())
PODS = {
    document["metadata"]["name"]: document["spec"]["template"]
    for document in MANIFESTS.values()
    if document["kind"] in ("Deployment", "Job")
}
OF_FORGE = {name: pod for name, pod in PODS.items() if name != "pgbouncer"}
CONFIG = next(one for one in MANIFESTS.values() if one["kind"] == "ConfigMap" and one["metadata"]["name"] == "forge")


def queue_of(command: list[str]) -> str | None:
    return command[command.index("-Q") + 1] if "-Q" in command else None


def unknown(names: set[str]) -> set[str]:
    return {name.removesuffix("_FILE") for name in names} - EXPLAINED - OF_OTHERS


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def run(code: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=BASE_DIR, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


# -- One machine -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["compose.yaml", "ops/compose/try.yaml", "ops/compose/services.yaml"])
def test_a_compose_file_has_the_form_that_its_specification_wants(name):
    document = yaml.safe_load((BASE_DIR / name).read_text())
    jsonschema.Draft7Validator(get_builtin_schema("vendor.compose-spec")).validate(document)


def test_each_queue_has_a_worker_and_there_is_web_beat_and_migrate():
    worked = [queue_of(service.get("command", [])) for service in COMPOSE["services"].values()]
    assert {queue for queue in worked if queue} == QUEUES
    assert len([queue for queue in worked if queue]) == len(QUEUES)
    assert settings.CELERY_TASK_DEFAULT_QUEUE in QUEUES
    assert {"web", "beat", "migrate", "postgres", "redis"} <= set(COMPOSE["services"])


def test_compose_migrates_by_the_script_that_tries_again():
    [script] = COMPOSE["services"]["migrate"]["command"]
    assert (script, os.access(BASE_DIR / script, os.X_OK)) == ("ops/upgrade.sh", True)
    ignored = (BASE_DIR / ".dockerignore").read_text().split()
    assert not {"ops", "ops/"} & set(ignored), "the image has it"


def test_every_variable_of_compose_is_a_setting():
    for name, service in (COMPOSE["services"] | {f"try {name}": one for name, one in TRY["services"].items()}).items():
        assert not unknown(set(service.get("environment", {}))), name


def test_what_compose_refers_to_is_declared():
    for name, service in COMPOSE["services"].items():
        asked = [one if isinstance(one, str) else one["source"] for one in service.get("secrets", [])]
        assert set(asked) <= set(COMPOSE["secrets"]), name
        mounted = {one.partition(":")[0] for one in service.get("volumes", [])}
        assert mounted <= set(COMPOSE["volumes"]), name
        assert set(service.get("depends_on", [])) <= set(COMPOSE["services"]), name
        files = {value for value in service.get("environment", {}).values() if value.startswith("/run/secrets/")}
        assert {value.removeprefix("/run/secrets/") for value in files} <= set(asked), name
    assert set(TRY["services"]) - set(COMPOSE["services"]) == {"simulator"}


def test_only_who_acts_as_the_owner_and_only_the_sealer_have_their_secrets():
    for name, service in COMPOSE["services"].items():
        secrets = {one if isinstance(one, str) else one["source"] for one in service.get("secrets", [])}
        assert ("database-owner-url" in secrets) == (name in OF_THE_OWNER), name
        assert ("audit-signing-key" in secrets) == (name == "worker-seal"), name


def test_containers_of_compose_can_do_little():
    ours = {
        name: one
        for name, one in COMPOSE["services"].items()
        if queue_of(one.get("command", [])) or name in ("web", "beat")
    }
    for name, service in ours.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "user" not in service, name
    published = [port for one in COMPOSE["services"].values() for port in one.get("ports", [])]
    assert published == ["127.0.0.1:8000:8000"]


def test_spools_lie_on_disk_and_memory_is_bounded():
    for name, service in COMPOSE["services"].items():
        if "tmpfs" not in service:
            continue
        [tmp] = [one for one in service["tmpfs"] if one.startswith("/tmp")]
        assert "size=" in tmp, name
        folder = service["environment"]["TMPDIR"]
        assert f"spools:{folder}" in service["volumes"], name
        assert folder in COMPOSE["services"]["own-volumes"]["command"], name


def test_a_pod_of_web_asks_for_the_room_of_its_spools():
    [web] = [
        one
        for one in yaml.safe_load_all((BASE_DIR / "ops/kubernetes/base/web.yaml").read_text())
        if one["kind"] == "Deployment"
    ]
    pod = web["spec"]["template"]["spec"]
    [container] = pod["containers"]
    command = container["command"]
    at_once = int(command[command.index("--workers") + 1]) * int(command[command.index("--threads") + 1])
    room = container["resources"]["requests"]["ephemeral-storage"]
    assert int(room.removesuffix("Gi")) * 1024**3 >= at_once * SPOOLED
    assert {"name": "tmp", "emptyDir": {}} in pod["volumes"]


def test_prometheus_reads_the_workers_that_compose_starts():
    config = yaml.safe_load((BASE_DIR / "ops/prometheus/prometheus.yaml").read_text())
    targets = {
        target.partition(":")[0]
        for one in config["scrape_configs"]
        for group in one["static_configs"]
        for target in group["targets"]
    }
    assert targets == {name for name in COMPOSE["services"] if name == "web" or name.startswith("worker-")}


def test_the_image_runs_as_nobody_and_holds_no_secret():
    lines = (BASE_DIR / "Dockerfile").read_text().splitlines()
    last = lines[max(number for number, line in enumerate(lines) if line.startswith("FROM")) :]
    assert [line for line in last if line.startswith("USER")] == ["USER 10001:10001"]
    assert not [line for line in last if re.match(r"(ENV|ARG).*(KEY|TOKEN|PASSWORD|URL)", line)]
    ignored = (BASE_DIR / ".dockerignore").read_text().split()
    assert {".git", ".forge", ".venv"} <= set(ignored)
    command = next(line for line in last if line.startswith("CMD"))
    assert yaml.safe_load(command.removeprefix("CMD "))[:2] == ["gunicorn", "forge.wsgi"]


def test_nobody_commands_gunicorn_by_a_socket_in_a_home_that_is_not_there():
    [container] = PODS["web"]["spec"]["containers"]
    image = next(line for line in (BASE_DIR / "Dockerfile").read_text().splitlines() if line.startswith("CMD"))
    for command in (container["command"], yaml.safe_load(image.removeprefix("CMD "))):
        assert "--no-control-socket" in command
    assert "command" not in COMPOSE["services"]["web"]  # the image's


def test_secrets_are_made_once_and_forge_starts_with_them(tmp_path):
    folder = tmp_path / "secrets"
    make = [sys.executable, "-m", "forge.make_secrets", "--folder", str(folder), "--origin", "forge.test/audit"]
    subprocess.run(make, cwd=BASE_DIR, check=True, capture_output=True)
    first = {path.name: path.read_text() for path in folder.iterdir()}
    subprocess.run(make, cwd=BASE_DIR, check=True, capture_output=True)
    assert {path.name: path.read_text() for path in folder.iterdir()} == first
    named = {one["file"].rpartition("/")[2] for one in COMPOSE["secrets"].values()}
    mounted = {
        item["key"] for pod in PODS.values() for volume in pod["spec"]["volumes"]
        for item in volume.get("secret", {}).get("items", [])
    }  # fmt: skip
    assert named | mounted <= set(first)
    assert folder.stat().st_mode & 0o777 == 0o700

    counts = tmp_path / "counts"
    counts.mkdir()
    given = COMPOSE["services"]["worker-seal"]["environment"] | {
        "ALLOWED_HOSTS": "forge.example.com", "FORGE_TRUSTED_PROXIES": "1", "FORGE_AUDIT_ORIGIN": "forge.test/audit",
        "EMAIL_URL": "smtp://localhost:25", "DEFAULT_FROM_EMAIL": "forge@localhost",
        "PROMETHEUS_MULTIPROC_DIR": str(counts),
    }  # fmt: skip
    given = {name: value.replace("/run/secrets", str(folder)) for name, value in given.items()}
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=BASE_DIR, env=kept | given, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = run(SHOW_KEYS, kept | given | {"DJANGO_SETTINGS_MODULE": "forge.settings"})
    own, public = told.split()
    assert own == public == first["audit-verifier-keys"]


# -- Many machines -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_is_what_kubernetes_takes(name):
    kubernetes_validate.validate(MANIFESTS[name], kubernetes_validate.latest_version(), strict=True)


def test_each_queue_has_its_deployment_and_two_of_each_run():
    worked = {name: queue_of(pod["spec"]["containers"][0]["command"]) for name, pod in OF_FORGE.items()}
    assert {queue for queue in worked.values() if queue} == QUEUES
    deployments = [one for one in MANIFESTS.values() if one["kind"] == "Deployment"]
    assert all(one["spec"]["replicas"] >= 2 for one in deployments)
    guarded = {one["metadata"]["name"] for one in MANIFESTS.values() if one["kind"] == "PodDisruptionBudget"}
    assert guarded == {one["metadata"]["name"] for one in deployments}


def test_selectors_find_their_pods():
    for name, document in MANIFESTS.items():
        spec = document.get("spec", {})
        if document["kind"] in ("Deployment", "PodDisruptionBudget"):
            selector = spec["selector"]["matchLabels"]
        elif document["kind"] == "Service":
            selector = spec["selector"]
        else:
            continue
        pod = PODS[document["metadata"]["name"]]
        assert selector.items() <= pod["metadata"]["labels"].items(), name


@pytest.mark.parametrize("name", PODS)
def test_a_pod_can_do_little(name):
    spec = PODS[name]["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers(PODS[name]):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}
        }  # fmt: skip
        assert container["resources"]["limits"]["memory"]
        assert container["command"][0] in PROGRAMS | {"pgbouncer"}


def test_every_variable_of_the_manifests_is_a_setting():
    own = {variable["name"] for pod in OF_FORGE.values() for one in containers(pod) for variable in one.get("env", [])}
    patched = yaml.safe_load((PRODUCTION / "settings.yaml").read_text())
    assert not unknown(own | set(CONFIG["data"]) | set(patched["data"]))


def test_the_owners_address_never_leads_through_the_pooler_and_few_have_it():
    for name, pod in OF_FORGE.items():
        keys = {item["key"] for volume in pod["spec"]["volumes"] for item in volume.get("secret", {}).get("items", [])}
        assert ("database-owner-url" in keys) == (name in OF_THE_OWNER), name
        assert ("audit-signing-key" in keys) == (name == "worker-seal"), name
    pooler = next(
        one for one in MANIFESTS.values() if one["metadata"]["name"] == "pgbouncer" and one["kind"] == "ConfigMap"
    )
    assert "pool_mode = transaction" in pooler["data"]["pgbouncer.ini"]
    assert CONFIG["data"]["FORGE_DATABASE_POOLED"] == "true"


def test_everybody_waits_for_the_schema_and_web_says_when_it_is_ready():
    for name, pod in OF_FORGE.items():
        if name != "migrate":
            (wait,) = pod["spec"]["initContainers"]
            assert wait["command"] == ["python", "manage.py", "migrate", "--check"], name
    web = PODS["web"]["spec"]["containers"][0]
    assert web["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert web["livenessProbe"]["httpGet"]["path"] == "/healthz"


def test_patches_of_the_overlay_meet_what_is_there():
    overlay = yaml.safe_load((PRODUCTION / "kustomization.yaml").read_text())
    there = {(one["kind"], one["metadata"]["name"]) for one in MANIFESTS.values()}
    images = {container["image"] for pod in PODS.values() for container in containers(pod)}
    assert {one["name"] for one in overlay["images"]} <= images
    assert {("Deployment", one["name"]) for one in overlay["replicas"]} <= there
    for patch in overlay["patches"]:
        if "target" in patch:
            assert (patch["target"]["kind"], patch["target"]["name"]) in there
        else:
            document = yaml.safe_load((PRODUCTION / patch["path"]).read_text())
            assert (document["kind"], document["metadata"]["name"]) in there


def test_traffic_is_shut_by_default():
    policies = {one["metadata"]["name"]: one["spec"] for one in MANIFESTS.values() if one["kind"] == "NetworkPolicy"}
    assert policies["forge-nothing"]["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policies["forge-nothing"]
    out = [rule for rule in policies["forge-out"]["egress"] if any("ipBlock" in to for to in rule["to"])]
    assert any("169.254.0.0/16" in to["ipBlock"].get("except", []) for rule in out for to in rule["to"])


def test_no_cursor_outlives_a_transaction_behind_a_pooler():
    for pooled in ("true", "false"):
        assert run(SHOW_CURSORS, os.environ | {"FORGE_DATABASE_POOLED": pooled}).strip().lower() == pooled
