"""Changes of the schema while the services work: in two phases, and never in anybody's way for long."""

import threading
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from mailrecall.embedded.deadlines import poll
from mailrecall.postgres.migrations import Phase, apply

PATIENCE = 60.0


@pytest.fixture
def url(servers):
    name = "migrations"
    yield servers.create_database(name)
    servers.drop_databases([name])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001.things.sql").write_text("CREATE TABLE thing (id int, old int);")
    (tmp_path / "0002.new-column.sql").write_text("ALTER TABLE thing ADD COLUMN new int;")
    (tmp_path / "0003.after-no-old-column.sql").write_text("ALTER TABLE thing DROP COLUMN old;")
    (tmp_path / "0004.another-column.sql").write_text("ALTER TABLE thing ADD COLUMN another int;")
    return tmp_path


def columns(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT column_name FROM information_schema.columns WHERE table_name = 'thing'")
        return {name for (name,) in rows}


def test_what_takes_away_is_applied_only_after_the_old_processes_have_ended(url, folder):
    assert apply(url, folder, Phase.BEFORE, lock_timeout=1) == 3
    assert columns(url) == {"id", "old", "new", "another"}
    assert apply(url, folder, Phase.BEFORE, lock_timeout=1) == 0
    assert apply(url, folder, Phase.AFTER, lock_timeout=1) == 1
    assert columns(url) == {"id", "new", "another"}
    assert apply(url, folder, Phase.ALL, lock_timeout=1) == 0


def test_a_change_that_does_not_get_its_lock_gives_way_and_is_tried_again(url, folder):
    changes = folder / "0002.new-column.sql"
    later = changes.read_text()
    changes.unlink()
    apply(url, folder, Phase.BEFORE, lock_timeout=1)
    changes.write_text(later)
    applied: list[int] = []
    with psycopg.connect(url) as reader:
        reader.execute("SELECT count(*) FROM thing")
        migrating = threading.Thread(
            target=lambda: applied.append(apply(url, folder, Phase.BEFORE, lock_timeout=0.2, tries=1000))
        )
        migrating.start()
        with psycopg.connect(url, autocommit=True) as other:
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'thing'::regclass"
            assert poll(lambda: other.execute(waiting).fetchone() == (1,), timeout=PATIENCE, pause=0.005)
            # who comes after the waiting change is not held up for longer than its patience
            other.execute("SET statement_timeout = '60s'")
            other.execute("SELECT count(*) FROM thing")
        assert not applied
        assert "new" not in columns(url)
    migrating.join(PATIENCE)
    assert applied == [1]
    assert "new" in columns(url)


def test_a_change_that_never_gets_its_lock_leaves_nothing_half_done(url, folder):
    apply(url, folder, Phase.BEFORE, lock_timeout=1)
    with psycopg.connect(url) as reader:
        reader.execute("SELECT count(*) FROM thing")
        with pytest.raises(errors.LockNotAvailable):
            apply(url, folder, Phase.AFTER, lock_timeout=0.1, tries=2)
    assert "old" in columns(url)
    assert apply(url, folder, Phase.AFTER, lock_timeout=1) == 1
