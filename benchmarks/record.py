"""Writing the figures into the documentation, between two marks of its page."""

from pathlib import Path

from benchmarks.chart import chart
from benchmarks.errors import BenchmarkError
from benchmarks.tables import Result, tables

PAGE, PICTURE = "benchmarks.md", "benchmarks-{size}.svg"
BEGIN, END = "<!-- figures of {size}: begin -->", "<!-- figures of {size}: end -->"


def record(folder: Path, result: Result) -> None:
    """Replace the figures for this size in the page, and its picture.

    Raises:
        BenchmarkError: the page has no place for figures of this size.
    """
    page = folder / PAGE
    page.write_text(placed(page.read_text(encoding="utf-8"), result), encoding="utf-8")
    if "rounds" in result:
        (folder / PICTURE.format(size=result["mailboxes"])).write_text(chart(result), encoding="utf-8")


def placed(text: str, result: Result) -> str:
    """Return the page with new figures in the place of those of the same size.

    Raises:
        BenchmarkError: the page has no place for figures of this size.
    """
    begin, end = (mark.format(size=result["mailboxes"]) for mark in (BEGIN, END))
    before, found, rest = text.partition(begin)
    _old, ended, after = rest.partition(end)
    if not (found and ended):
        raise BenchmarkError(f"{PAGE} has no lines '{begin}' and '{end}' to put the figures between.")
    figures = [preamble(result), *([reference(result)] if "rounds" in result else []), tables(result)]
    return "\n\n".join([f"{before}{begin}", *figures, f"{end}{after}"])


def reference(result: Result) -> str:
    """Show the picture of this size."""
    what = f"Recipients a second, {result['mailboxes']:,} mailboxes: Mail Recall beside the other ways"
    return f"![{what}]({PICTURE.format(size=result['mailboxes'])})"


def preamble(result: Result) -> str:
    """Say what was measured, where, and how to do it again."""
    machine, server = result["machine"], result["server"]
    counted = ", ".join(f"{n:,} {outcome}" for outcome, n in sorted(result.get("outcomes", {}).items()))
    mailboxes = f"{result['mailboxes']:,} mailboxes with {result['older_mails_each']} older mails each"
    hardware = f"{machine['system']}, {machine['cores']} cores, {machine['memory_gib']} GiB"
    names = ("fsync", "synchronous_commit", "full_page_writes", "wal_compression")
    durability = ", ".join(f"{name} {server[name]}" for name in names)
    told = (
        f"`{result['command']}`: {mailboxes} on {result['shards']} shards; {hardware}, load "
        f"{machine['load_before']:.1f} before; PostgreSQL {server['server_version']}, {durability}; medians of "
        f"{result['rounds_each']}, in turns."
    )
    return told + (f" Outcomes of each large recall, counted again on the shards: {counted}." if counted else "")
