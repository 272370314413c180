"""The data folder and the ports: what `mailrecall up` refuses, and that it says what to do instead."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mailrecall.embedded.errors import EmbeddedError
from mailrecall.embedded.folder import DataFolder
from mailrecall.embedded.ports import Ports, free_ports


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    return DataFolder(tmp_path / "data")


def refusal(folder: DataFolder, shards: int | None = None) -> str:
    with pytest.raises(EmbeddedError) as caught, folder.opened(shards):
        pass
    return str(caught.value)


def mailrecall(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "mailrecall.cli.main", *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_new_folder_says_what_it_is_and_is_known_again(folder: DataFolder) -> None:
    with folder.opened(None) as first:
        password = folder.secret("role_password")
    with folder.opened(None) as second:
        assert second == first
        assert second.shards == 4
        assert folder.secret("role_password") == password


def test_only_this_user_can_read_secrets_and_logs(folder: DataFolder) -> None:
    with folder.opened(None):
        folder.secret("role_password")
    assert folder.secret_file("role_password").stat().st_mode & 0o777 == 0o600
    assert folder.logs.stat().st_mode & 0o777 == 0o700
    assert folder.path.stat().st_mode & 0o777 == (0o711 if os.geteuid() == 0 else 0o700)


def test_a_folder_with_other_things_in_it_is_left_alone(folder: DataFolder) -> None:
    folder.path.mkdir()
    (folder.path / "thesis.odt").write_text("years of work")
    assert "thesis.odt" in refusal(folder)
    assert [entry.name for entry in folder.path.iterdir()] == ["thesis.odt"]


def test_a_file_is_not_a_folder(folder: DataFolder) -> None:
    folder.path.write_text("")
    assert "is not a folder" in refusal(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 2}, "another version of Mail Recall"),
        ({"format": None}, "another version of Mail Recall"),
        ({"postgresql": 17}, "PostgreSQL 17"),
    ],
)
def test_a_folder_of_another_version_is_refused(folder: DataFolder, change: dict[str, object], words: str) -> None:
    with folder.opened(None):
        values = json.loads(folder.marker_file.read_text())
    folder.marker_file.write_text(json.dumps(values | change))
    assert words in refusal(folder)
    assert "--data" in refusal(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"format": 1, "postgresql": 18}'])
def test_a_damaged_marker_is_refused(folder: DataFolder, text: str) -> None:
    with folder.opened(None):
        folder.marker_file.write_text(text)
    assert str(folder.path) in refusal(folder)


def test_a_folder_of_another_user_is_refused(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    with folder.opened(None):
        pass
    monkeypatch.setattr(os, "geteuid", lambda: folder.path.stat().st_uid + 1)
    assert "belongs to the user with id" in refusal(folder)


def test_a_folder_in_use_is_refused_with_the_process_that_uses_it(folder: DataFolder) -> None:
    with folder.opened(None):
        assert f"process {os.getpid()}" in refusal(folder)
    with folder.opened(None):
        pass


def test_shards_can_be_added_but_not_taken_away(folder: DataFolder) -> None:
    with folder.opened(2):
        pass
    with folder.opened(3) as marker:
        assert marker.shards == 3
    assert "cannot become 2" in refusal(folder, 2)
    with folder.opened(None) as marker:
        assert marker.shards == 3


def test_taken_ports_are_named_with_what_wanted_them_and_how_to_choose_others() -> None:
    gateway, smtp, lmtp, imap, pop3, flower, metrics, postgres, valkey = free_ports(9)
    mail = {"smtp": smtp, "lmtp": lmtp, "imap": imap, "pop3": pop3}
    ports = Ports(gateway=gateway, flower=flower, metrics=metrics, postgres=postgres, valkey=valkey, **mail)
    ports.check()
    with (
        socket.create_server(("127.0.0.1", gateway)),
        socket.create_server(("127.0.0.1", lmtp)),
        pytest.raises(EmbeddedError) as caught,
    ):
        ports.check()
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert f"Port {gateway} for the gateway (HTTP) is already in use" in lines[0]
    assert "--gateway-port" in lines[0]
    assert "MAILRECALL_GATEWAY_PORT" in lines[0]
    assert f"Port {lmtp} for LMTP is already in use" in lines[1]


def test_one_port_for_two_purposes_is_refused() -> None:
    a, b, c, d, e, f = free_ports(6)
    with pytest.raises(EmbeddedError, match="given to both the gateway"):
        Ports(gateway=a, smtp=b, lmtp=c, flower=d, postgres=e, metrics=f, valkey=a).check()


def test_up_says_why_it_cannot_start_without_a_traceback(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = mailrecall("up", "--data", str(tmp_path / "data"), "--free-ports", MAILRECALL_GATEWAY_PORT=str(port))
    assert done.returncode == 2
    assert f"Port {port} for the gateway" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data" / "postgres").exists()


def test_a_folder_that_cannot_be_made_is_named_without_a_traceback(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    # no folder can be made in /proc, by root neither
    for command, place in (("up", Path("/proc/x")), ("up", file / "data"), ("status", file)):
        done = mailrecall(command, "--data", str(place))
        assert done.returncode == 2
        assert str(place) in done.stderr
        assert "Traceback" not in done.stderr


def test_up_says_what_is_wrong_with_the_environment(tmp_path: Path) -> None:
    done = mailrecall("up", "--data", str(tmp_path / "data"), "--free-ports", MAILRECALL_BATCH_SIZE="none")
    assert done.returncode == 2
    assert "MAILRECALL_BATCH_SIZE" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("made", [False, True])
def test_status_of_what_does_not_run_says_so(folder: DataFolder, made: bool) -> None:
    if made:
        with folder.opened(None):
            pass
    done = mailrecall("status", "--data", str(folder.path))
    assert done.returncode == 2
    assert ("mailrecall up" if made else "not a data folder") in done.stderr


def test_migrate_without_settings_names_the_missing_variables() -> None:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("MAILRECALL_")}
    done = subprocess.run(
        [sys.executable, "-m", "mailrecall.cli.main", "migrate"], env=bare, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "MAILRECALL_CONTROL_URL" in done.stderr
    assert "Traceback" not in done.stderr
