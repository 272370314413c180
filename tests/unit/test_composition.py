"""docker-compose.yml against the documents that tell people what to set, and against the code."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mailrecall.embedded.postgres import SERVER_SETTINGS
from mailrecall.outbox.relay import CONFIRM_TIMEOUT
from mailrecall.settings import OF_ONE_PROCESS, PREFIX, Settings
from services.delivery.intake.settings import IntakeSettings
from services.delivery.pop3.settings import Pop3Settings
from tests.unit.test_settings_document import kinds_of_settings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSITION: dict[str, Any] = yaml.safe_load(TEXT)
HANDED_ON: dict[str, str] = COMPOSITION["x-settings"]


def section(document: str, title: str) -> str:
    """What a document says under one of its headings."""
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def variables(text: str) -> set[str]:
    """The variables that a text names."""
    return set(re.findall(rf"\b{PREFIX}[A-Z0-9_]*[A-Z0-9]\b", text))


# `$$` is a dollar of the container's own shell
TAKEN = set(re.findall(rf"(?<!\$)\$\{{({PREFIX}[A-Z0-9_]+)", TEXT))


def test_the_settings_document_lists_what_the_composition_takes_and_nothing_else():
    assert variables(section("settings.md", "Docker Compose only")) == TAKEN


def test_what_people_are_told_to_set_for_the_composition_reaches_it():
    told = variables(section("install.md", "With Docker Compose"))
    assert "MAILRECALL_PROXIES" in told
    assert told <= TAKEN


def test_every_variable_that_is_handed_on_is_a_setting():
    known = {PREFIX + name for name in OF_ONE_PROCESS | {name.upper() for name in Settings.model_fields}}
    assert {name for name in HANDED_ON if name not in known and name.removesuffix("_FILE") not in known} == set()


def test_a_variable_is_handed_on_under_its_own_name():
    for name, value in HANDED_ON.items():
        assert variables(str(value)) <= {name}


def test_the_composition_has_the_defaults_of_the_code():
    fields = {PREFIX + name.upper(): field for kind in kinds_of_settings() for name, field in kind.model_fields.items()}
    defaults = {
        name: given.group(1)
        for name, value in HANDED_ON.items()
        # a container sees every client as one from afar, hence the one that differs
        if name != f"{PREFIX}PLAIN_LOGIN" and (given := re.fullmatch(r"\$\{\w+:?-(.*)\}", str(value)))
    }
    assert f"{PREFIX}BATCH_SIZE" in defaults
    assert defaults == {name: str(fields[name].default) for name in defaults}


def gunicorn_waits() -> float:
    """How long gunicorn lets requests under way take; its module reads settings when it is imported, so it is not."""
    source = (ROOT / "services" / "gateway" / "gunicorn_conf.py").read_text(encoding="utf-8")
    (value,) = [
        node.value
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "graceful_timeout"
    ]
    return float(ast.literal_eval(value))


DOCKERS_OWN_GRACE = 10.0
TAKES_TO_STOP = {
    "gateway": gunicorn_waits(),
    "intake": float(IntakeSettings.model_fields["stop_timeout"].default),
    "pop3": float(Pop3Settings.model_fields["stop_timeout"].default),
    # each command that is under way is finished, however long it takes; most are short
    "imap": DOCKERS_OWN_GRACE,
    # what it has published it waits to see confirmed
    "relay": CONFIRM_TIMEOUT,
}


OF_THE_PLACE = {"listen_addresses", "unix_socket_directories", "fsync", "synchronous_commit", "max_connections"}
OF_THE_IMAGE = {"timezone", "log_timezone", "log_line_prefix", "password_encryption"}
"""What the image sets, or leaves to PostgreSQL, in the same way."""


def test_composed_databases_are_set_as_the_embedded_ones_are():
    words = COMPOSITION["x-postgres"]["command"].split()
    given = dict(word.split("=") for word in words if "=" in word)
    expected = {name: value for name, value in SERVER_SETTINGS.items() if name not in OF_THE_PLACE | OF_THE_IMAGE}
    assert {name: value for name, value in given.items() if name != "max_connections"} == expected


@pytest.mark.parametrize("name", TAKES_TO_STOP)
def test_nobody_is_killed_who_is_still_finishing_what_is_under_way(name: str):
    manifest = (ROOT / "deploy" / "kubernetes" / f"{name}.yaml").read_text(encoding="utf-8")
    (pod,) = [d["spec"]["template"]["spec"] for d in yaml.safe_load_all(manifest) if d["kind"] == "Deployment"]
    composed = COMPOSITION["services"][name].get("stop_grace_period", f"{DOCKERS_OWN_GRACE:g}s")
    assert float(composed.removesuffix("s")) > TAKES_TO_STOP[name]
    assert pod.get("terminationGracePeriodSeconds", 30) > TAKES_TO_STOP[name]


def test_whoever_has_databases_of_ones_own_is_told_to_start_everything_else():
    (line,) = re.findall(r"up --detach --no-deps (.+)", section("install.md", "With Docker Compose"))
    databases = {name for name, service in COMPOSITION["services"].items() if "postgres" in service["image"]}
    with_a_profile = {name for name, service in COMPOSITION["services"].items() if "profiles" in service}
    assert len(databases) == 5
    assert set(line.split()) == set(COMPOSITION["services"]) - databases - with_a_profile - {"migrate"}


def test_no_process_starts_where_it_can_write():
    image = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8").rpartition("\nFROM ")[2]
    # modules are looked for there, before all others
    assert re.findall(r"^WORKDIR (.+)$", image, re.MULTILINE) == ["/"]
    assert "PYTHONSAFEPATH=1" in image
    assert COMPOSITION["x-process"]["read_only"] is True
    assert COMPOSITION["x-process"]["tmpfs"] == "/tmp"  # all that it can write to


def test_no_secret_becomes_an_argument():
    # which could be read in the list of processes; a shell's own variable cannot
    lines = [line for line in TEXT.splitlines() if "$$(" in line and "/run/secrets/" in line]
    assert [re.findall(r"\b(\w+)=\$\$\(", line) for line in lines] == [
        ["POSTGRES_PASSWORD"],
        ["password"],
        ["REDISCLI_AUTH"],
    ]
    assert "--requirepass" not in TEXT


@pytest.mark.parametrize("name", COMPOSITION["services"])
def test_no_container_can_become_more_than_it_is(name: str):
    service = COMPOSITION["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    if service["image"].startswith(("postgres:", "redis:")):
        # these would begin as root and step down, which takes capabilities
        assert service["user"] == service["image"].partition(":")[0]
