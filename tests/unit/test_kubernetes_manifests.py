"""deploy/kubernetes against the schemas of Kubernetes, and against what the code calls things."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from mailrecall.broker import queues
from mailrecall.settings import OF_ONE_PROCESS, PREFIX, Settings

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
SHARDS = 4


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(FOLDER.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            yield f"{path.name}:{document['kind']}", document


EVERYTHING = dict(documents())
PODS = {name: d for name, d in EVERYTHING.items() if d["kind"] in ("Deployment", "Job")}
DEPLOYMENTS = {name: d for name, d in EVERYTHING.items() if d["kind"] == "Deployment"}
BUILT_IN = [name for name, d in documents() if d["apiVersion"] != "keda.sh/v1alpha1" and d["kind"] != "Kustomization"]


def pod(document: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = document["spec"]["template"]["spec"]
    return spec


def container(document: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod(document)["containers"]
    found: dict[str, Any] = only
    return found


def test_every_manifest_is_what_the_schemas_say():
    checked = 0
    for name, document in documents():
        if name in BUILT_IN:
            kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
            checked += 1
    assert checked > 20


def test_what_kustomize_is_told_to_take_is_all_there_is():
    kustomization = EVERYTHING["kustomization.yaml:Kustomization"]
    assert sorted(kustomization["resources"]) == sorted(
        path.name for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml"
    )


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kustomize_makes_one_set_of_them():
    done = subprocess.run(
        ["kubectl", "kustomize", str(FOLDER)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    made = list(yaml.safe_load_all(done.stdout))
    names = [(document["kind"], document["metadata"]["name"]) for document in made]
    assert len(names) == len(set(names)) == sum(1 for name, _ in documents() if "Kustomization" not in name)


@pytest.mark.parametrize("name", PODS)
def test_every_pod_runs_as_nobody_in_particular_and_can_write_nowhere_but_in_memory(name: str):
    spec, only = pod(PODS[name]), container(PODS[name])
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert only["resources"]["requests"]
    assert only["resources"]["limits"]["memory"]


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_every_process_says_whether_it_lives(name: str):
    assert "livenessProbe" in container(DEPLOYMENTS[name])
    if "beat" not in name:
        assert "readinessProbe" in container(DEPLOYMENTS[name])


def test_only_readiness_looks_at_servers_and_the_exporters_does_not():
    probes = {
        name: {kind: probe["httpGet"]["path"] for kind, probe in container(d).items() if "httpGet" in str(probe)}
        for name, d in DEPLOYMENTS.items()
        if container(d)["args"][0] == "celery" or "relay" in name or "metrics" in name
    }
    del probes["beat.yaml:Deployment"]
    assert len(probes) == 7
    for name, paths in probes.items():
        ready = "/healthz" if "metrics" in name else "/readyz"
        assert paths == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": ready}, name


def test_the_workers_take_every_queue_there_is():
    assert set().union(*map(taken, DEPLOYMENTS.values())) == set(every_queue())


def taken(deployment: dict[str, Any]) -> set[str]:
    """The queues that a Deployment's workers take."""
    lists = [a.removeprefix("--queues=") for a in container(deployment)["args"] if a.startswith("--queues=")]
    return {queue for one in lists for queue in one.split(",")}


def every_queue() -> list[str]:
    settings = Settings.model_validate(
        {
            "control_url": "postgresql://nowhere",
            "shard_urls": ["postgresql://nowhere"] * SHARDS,
            "broker_url": "redis://nowhere",
        }
    )
    return queues(settings)


SCALED = {name: d for name, d in EVERYTHING.items() if d["kind"] == "ScaledObject"}


@pytest.mark.parametrize("queue", every_queue())
def test_every_queue_is_watched_by_something_that_adds_workers_of_that_queue(queue: str):
    (watching,) = (
        document
        for document in SCALED.values()
        for pattern in re.findall(r'queue=~"([^"]+)"', document["spec"]["triggers"][0]["metadata"]["query"])
        if re.fullmatch(pattern, queue)
    )
    (target,) = (d for d in DEPLOYMENTS.values() if d["metadata"]["name"] == watching["spec"]["scaleTargetRef"]["name"])
    assert queue in taken(target)
    # applied again, a number of its own would undo what was added
    assert "replicas" not in target["spec"]


def test_what_adds_workers_is_what_keda_expects():
    for document in SCALED.values():
        # the part of KEDA's schema that matters here: its own is a CRD, which no validator brings along
        assert 1 <= document["spec"]["minReplicaCount"] <= document["spec"]["maxReplicaCount"]
        for trigger in document["spec"]["triggers"]:
            assert trigger["type"] == "prometheus"
            assert set(trigger["metadata"]) == {"serverAddress", "query", "threshold"}
            assert all(isinstance(value, str) for value in trigger["metadata"].values())


@pytest.mark.parametrize("name", PODS)
def test_every_pod_sees_the_secrets_that_its_settings_name_and_no_others(name: str):
    files = {**EVERYTHING["settings.yaml:ConfigMap"]["data"]}
    files |= {entry["name"]: entry["value"] for entry in container(PODS[name]).get("env", [])}
    named = {value.removeprefix("/run/secrets/") for value in files.values() if value.startswith("/run/secrets/")}
    (secret,) = (volume["secret"] for volume in pod(PODS[name])["volumes"] if "secret" in volume)
    assert {item["path"] for item in secret["items"]} == named
    assert named


def test_whoever_is_let_in_from_everywhere_is_so_over_ipv6_too():
    open_to_all = 0
    for document in (d for _, d in documents() if d["kind"] == "NetworkPolicy"):
        for rule in document["spec"].get("ingress", []):
            blocks = {peer["ipBlock"]["cidr"] for peer in rule["from"] if "ipBlock" in peer}
            assert blocks in (set(), {"0.0.0.0/0", "::/0"})
            open_to_all += bool(blocks)
    assert open_to_all == 3


@pytest.mark.parametrize("name", PODS)
def test_every_command_exists(name: str):
    match container(PODS[name])["args"]:
        case ["python", "-m", module, *_]:
            assert find_spec(module) is not None
        case ["celery", application, *_]:
            assert find_spec(application.removeprefix("--app=")) is not None
        case [program, *_]:
            assert program in ("gunicorn", "mailrecall")


def test_every_variable_is_a_setting():
    known = {PREFIX + name for name in OF_ONE_PROCESS | {name.upper() for name in Settings.model_fields}}
    given = set(EVERYTHING["settings.yaml:ConfigMap"]["data"])
    given |= {entry["name"] for d in PODS.values() for entry in container(d).get("env", [])}
    assert {name for name in given if name not in known and name.removesuffix("_FILE") not in known} == set()


def test_what_an_upgrade_applies_first_is_the_job_alone():
    upgrade = (FOLDER.parents[1] / "docs" / "upgrade.md").read_text(encoding="utf-8")
    (label, value) = re.findall(r"apply -k \S+ -l (\S+)=(\w+)", upgrade)[0]
    chosen = [name for name, d in documents() if d.get("metadata", {}).get("labels", {}).get(label) == value]
    assert chosen == ["migrate.yaml:Job"]
