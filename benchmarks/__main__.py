"""`python -m benchmarks`: what `make bench` does."""

import json
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from benchmarks import dataset
from benchmarks.place import running
from benchmarks.program import PARTS, Program, machine
from benchmarks.record import record as record_in
from benchmarks.tables import tables
from mailrecall.embedded.folder import DataFolder

_DOCUMENT = Path(__file__).parents[1] / "docs"


SHARDS, WORKERS = 4, 2
"""What is measured where nothing else is asked for."""


@click.command()
@click.option("--mailboxes", type=click.IntRange(1_000, 5_000_000), default=100_000, show_default=True)
@click.option("--rounds", type=click.IntRange(1, 50), default=5, show_default=True, help="The middle one counts.")
@click.option("--folder", type=click.Path(path_type=Path), help="Keep the data set here, and use it again next time.")
@click.option("--shards", type=click.IntRange(1, 16), default=SHARDS, show_default=True)
@click.option(
    "--workers", type=click.IntRange(1, 16), default=WORKERS, show_default=True, help="Tasks at once, of a kind."
)
@click.option(
    "--part",
    "parts",
    type=click.Choice(PARTS),
    multiple=True,
    help="Measure this part only; can be named again.",
)
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write all measurements here.")
@click.option("--record", is_flag=True, help="Write the figures into docs/benchmarks.md.")
def bench(
    *,
    mailboxes: int,
    rounds: int,
    folder: Path | None,
    shards: int,
    workers: int,
    parts: tuple[str, ...],
    file: Path | None,
    record: bool,
) -> None:
    """Measure Mail Recall beside bare SQL, a task for each recipient, and Dovecot, in turns on this machine."""
    # told to stop, it stops its stack too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    found = machine()
    with _folder(folder) as data, running(data, shards=shards, workers=workers) as place:
        click.echo(f"Building {mailboxes:,} mailboxes with {dataset.BACKGROUND} older mails each …")
        company = dataset.build(place, mailboxes)
        result = Program(place, company, rounds=rounds, tell=click.echo).run(parts or PARTS)
    result |= {"machine": found, "command": command(mailboxes, rounds, shards=shards, workers=workers, parts=parts)}
    click.echo(tables(result))
    if file is not None:
        file.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if record:
        record_in(_DOCUMENT, result)
        click.echo(f"Recorded in {_DOCUMENT / 'benchmarks.md'}.")


def command(mailboxes: int, rounds: int, *, shards: int, workers: int, parts: Sequence[str]) -> str:
    """Return the command that measures the same again."""
    arguments = [f"--mailboxes {mailboxes}", f"--rounds {rounds}"]
    if shards != SHARDS:
        arguments.append(f"--shards {shards}")
    if workers != WORKERS:
        arguments.append(f"--workers {workers}")
    arguments += [f"--part {part}" for part in parts]
    return f"make bench ARGS='{' '.join(arguments)}'"


@contextmanager
def _folder(named: Path | None) -> Iterator[DataFolder]:
    if named is not None:
        yield DataFolder(named.absolute())
        return
    with tempfile.TemporaryDirectory(prefix="mailrecall-bench-", ignore_cleanup_errors=True) as scratch:
        # under root PostgreSQL runs as somebody else, who must be able to pass
        Path(scratch).chmod(0o711)
        yield DataFolder(Path(scratch) / "data")


if __name__ == "__main__":
    bench()
