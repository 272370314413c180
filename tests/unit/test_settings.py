"""What a process is told by its environment: what is not plainly right ends it at its start with clear words."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mailrecall.embedded.ports import Ports
from mailrecall.settings import OF_ONE_PROCESS, Settings, SettingsError, load
from tests.unit.test_settings_document import kinds_of_settings

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"
RIGHT = {
    "MAILRECALL_CONTROL_URL": NOWHERE,
    "MAILRECALL_SHARD_URLS": NOWHERE,
    "MAILRECALL_BROKER_URL": "redis://127.0.0.1:1/0",
}


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("STATEMENT_TIMEOUT", "inf", "finite"),
        ("STATEMENT_TIMEOUT", "nan", "finite"),
        ("STATEMENT_TIMEOUT", "1e300", "less than or equal to"),
        # rounded to milliseconds it would be 0, which means none to PostgreSQL
        ("STATEMENT_TIMEOUT", "0.0001", "greater than or equal to"),
        ("CONNECT_TIMEOUT", "inf", "finite"),
        ("RECALL_DEADLINE", "1e12", "less than or equal to"),
        ("HOSTNAME", "mx.example.org\r\nX-Forged: yes", "must be a host name"),
        ("HOSTNAME", "mx.example.org\n", "must be a host name"),
        ("HOSTNAME", "", "must be a host name"),
        ("HOSTNAME", "not a name", "must be a host name"),
        ("HOSTNAME", "mx..example", "must be a host name"),
        ("HOSTNAME", "a." * 128 + "example", "must be a host name"),
        ("PUBLIC_URL", "mail.example.org", "must be a URL"),
        ("PUBLIC_URL", "https://", "must be a URL"),
        ("PUBLIC_URL", "javascript://mail.example.org", "must be a URL"),
        ("PUBLIC_URL", "https://mail.example.org\r\nX-Forged: yes", "must be a URL"),
        ("BROKER_URL", "foo://localhost", "must be a redis://, .* URL"),
        ("BROKER_URL", "localhost", "must be a redis://, .* URL"),
    ],
)
def test_a_value_that_cannot_be_right_is_refused_with_its_name(variable, value, words):
    with pytest.raises(SettingsError, match=rf"^MAILRECALL_{variable}: .*{words}"):
        load(Settings, {**RIGHT, f"MAILRECALL_{variable}": value})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HOSTNAME", "localhost"),
        ("HOSTNAME", "mx-1.Example.org"),
        ("PUBLIC_URL", "http://localhost:8080"),
        ("PUBLIC_URL", "https://mail.example.org/recall"),
        ("BROKER_URL", "rediss://:secret@redis.example.org:6380/1"),
        ("BROKER_URL", "sentinel://one:26379;sentinel://two:26379"),
    ],
)
def test_a_value_that_is_right_is_taken(variable, value):
    assert getattr(load(Settings, {**RIGHT, f"MAILRECALL_{variable}": value}), variable.lower()) == value


def test_a_file_that_is_no_text_is_refused_with_its_name(tmp_path: Path):
    path = tmp_path / "control_url"
    path.write_bytes(b"postgresql://\xff")
    with pytest.raises(SettingsError, match=r"^MAILRECALL_CONTROL_URL_FILE: .*control_url must be text in UTF-8$"):
        load(Settings, {**RIGHT, "MAILRECALL_CONTROL_URL_FILE": str(path)})


def test_whoever_may_not_read_a_file_is_told_who_has_to(tmp_path: Path):
    path = tmp_path / "control_url"
    path.write_text(NOWHERE, encoding="utf-8")
    path.chmod(0)
    before = os.geteuid()
    if before == 0:
        os.seteuid(10001)  # nothing is hidden from root
    try:
        with pytest.raises(SettingsError, match=rf"Permission denied; let the user with the id {os.geteuid()} read"):
            load(Settings, {**RIGHT, "MAILRECALL_CONTROL_URL_FILE": str(path)})
    finally:
        os.seteuid(before)


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("MAILRECALL_BATCH_SZE", "MAILRECALL_BATCH_SIZE"),
        ("MAILRECALL_STATMENT_TIMEOUT_FILE", "MAILRECALL_STATEMENT_TIMEOUT"),
        ("MAILRECALL_GATEWAY_BINDS", "MAILRECALL_GATEWAY_BIND"),
        ("MAILRECALL_XYZ", None),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_one_that_was_meant(variable, meant):
    with pytest.raises(SettingsError, match=rf"^{variable}: there is no such setting") as refused:
        load(Settings, {**RIGHT, variable: "1"})
    assert meant is None or meant in str(refused.value)


def test_every_kind_of_process_lets_the_settings_of_the_others_pass():
    names = {name.upper() for kind in kinds_of_settings() for name in kind.model_fields}
    assert names - {name.upper() for name in Settings.model_fields} == OF_ONE_PROCESS


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_can_be_given_by_variable_and_by_file(name: str, tmp_path: Path):
    variable = f"MAILRECALL_{name.upper()}"
    default = Settings.model_fields[name].default
    value = RIGHT.get(variable, str(default))
    path = tmp_path / "value"
    path.write_text(value)
    given = load(Settings, {**RIGHT, variable: value})
    assert load(Settings, {**RIGHT, f"{variable}_FILE": str(path)}) == given
    assert variable in RIGHT or getattr(given, name) == default


def test_what_is_meant_for_others_passes():
    others = {
        *(f"MAILRECALL_{name.upper()}_PORT" for name in Ports.names()),
        *("MAILRECALL_DATA", "MAILRECALL_WORKERS", "MAILRECALL_LISTEN", "MAILRECALL_VERSION", "MAILRECALL_HTTP_PORT"),
        *("MAILRECALL_SECRETS", "MAILRECALL_FLOWER_LOGIN"),
        *("MAILRECALL_SERVICE_HOST", "MAILRECALL_GATEWAY_SERVICE_PORT_HTTP", "MAILRECALL_GATEWAY_PORT_8080_TCP_ADDR"),
        *("HOSTNAME", "OTHER_BATCH_SZE"),
    }
    assert load(Settings, {**RIGHT, **dict.fromkeys(others, "x")}) == load(Settings, RIGHT)


@pytest.mark.parametrize("service", ["delivery", "recall", "reports"])
def test_a_worker_with_a_bad_setting_ends_with_one_clear_message(service):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAILRECALL_")}
    done = subprocess.run(
        [sys.executable, "-m", "celery", f"--app=services.{service}.worker", "worker"],
        env={**inherited, **RIGHT, "MAILRECALL_BATCH_SIZE": "none"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("MAILRECALL_BATCH_SIZE: ")
    assert len((done.stdout + done.stderr).splitlines()) == 1
