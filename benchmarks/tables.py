"""The figures as Markdown tables, from a result as `--json` writes it: pure text making."""

from collections.abc import Mapping, Sequence
from typing import Any

Result = Mapping[str, Any]

WAYS = {
    "bare_one_a_shard": "bare SQL, one transaction a shard, two connections",
    "bare_product_ranges": "bare SQL, the ranges of Mail Recall's own tasks",
    "bare_ranges": "bare SQL, ranges of 5,000 mailboxes a transaction",
    "whole_system": "**Mail Recall**: request → last outcome committed and counted",
    "whole_system_reported": "Mail Recall: request → report mail can be read",
    "task_per_recipient": "one Celery task for each recipient",
    "doveadm_expunge": "Dovecot, `doveadm expunge -A`, warm indexes, 1,000 users",
}
DELIVERIES = {
    "bare_copy_one_a_shard": "bare COPY of the same rows, one transaction a shard, two connections",
    "bare_copy_product_ranges": "bare COPY, the ranges of Mail Recall's own tasks",
    "bare_copy_ranges": "bare COPY, ranges of 5,000 mailboxes a transaction",
    "delivery": "**Mail Recall**: request → last copy can be read",
}
_BARE = ("bare_one_a_shard", "bare_product_ranges", "bare_ranges")
_BARE_COPY = ("bare_copy_one_a_shard", "bare_copy_product_ranges", "bare_copy_ranges")
_STATES = {"idle": "alone", "busy": "beside a large recall"}
_LOGGED = (*_BARE, "whole_system")


def median(result: Result, name: str) -> float | None:
    """Return the median of a quantity of the rounds; None where it was not measured."""
    found = result.get("rounds", {}).get(name)
    return None if found is None else float(found["median"])


def spread(result: Result, name: str) -> str:
    """Return the least and the most of the rounds."""
    values = result["rounds"][name]["values"]
    return f"{min(values):,.0f} – {max(values):,.0f}"


def limit(result: Result, forms: Sequence[str] = _BARE) -> float:
    """Return what bare SQL reached in its best form, in recipients a second."""
    return max(median(result, name) or 0.0 for name in forms)


def tables(result: Result) -> str:
    """Return everything that was measured as Markdown."""
    parts = []
    if "rounds" in result:
        parts += [_ways(result), _deliveries(result)]
    if "growth" in result:
        parts += [_growth(result["growth"]), _memory(result["growth"])]
    if "crowding" in result:
        parts.append(_crowding(result["crowding"]))
    return "\n\n".join(parts)


def _ways(result: Result) -> str:
    rows = []
    whole = median(result, "whole_system") or 0.0
    for name, title in WAYS.items():
        if (value := median(result, name)) is None:
            continue
        logged = median(result, f"{name}_log_octets") if name in _LOGGED else None
        factor = "" if name.startswith("whole_system") else f"{whole / value:,.2f} ×"
        rows.append(
            [
                title,
                f"{value:,.0f}",
                spread(result, name),
                f"{value / limit(result):.4g}",
                factor,
                "" if logged is None else f"{logged:.0f}",
            ]
        )
    head = [
        "taking a message back",
        "recipients/s",
        "least – most",
        "÷ limit",
        "Mail Recall is",
        "log octets/recipient",
    ]
    return _table(head, rows)


def _deliveries(result: Result) -> str:
    most = limit(result, _BARE_COPY) or 1.0
    rows = [
        [title, f"{value:,.0f}", spread(result, name), f"{value / most:.2f}"]
        for name, title in DELIVERIES.items()
        if (value := median(result, name)) is not None
    ]
    return _table(["delivering a message", "recipients/s", "least – most", "÷ limit"], rows)


def _growth(growth: Sequence[Mapping[str, Any]]) -> str:
    names = ("delivered_seconds", "answered_seconds", "settled_seconds", "reported_seconds")
    rows = [
        [f"{size['recipients']:,}"]
        + [f"{size[name]['median']:.3f}" for name in names]
        + [f"{min(size['settled_seconds']['values']):.3f} – {max(size['settled_seconds']['values']):.3f}"]
        + [f"{size['recipients'] / size['settled_seconds']['median']:,.0f}"]
        for size in growth
    ]
    head = ["recipients", "delivered, s", "recall answered, s", "settled, s", "report readable, s"]
    return _table([*head, "settled, least – most", "recipients/s"], rows)


def _memory(growth: Sequence[Mapping[str, Any]]) -> str:
    names = sorted(growth[-1]["peak_mib"])
    rows = [[name, *(f"{size['peak_mib'].get(name, 0):.0f}" for size in growth)] for name in names]
    return _table(["peak memory of the largest process, MiB", *(f"{size['recipients']:,}" for size in growth)], rows)


def _crowding(crowding: Mapping[str, Any]) -> str:
    titles = {
        "small_recall_answered": "recall of one recipient: answered",
        "small_recall_settled": "recall of one recipient: settled",
        "read": "opening a message for the first time",
    }
    rows = []
    for name, title in titles.items():
        idle, busy = crowding["idle"].get(name), crowding["busy"].get(name)
        if not (idle and busy):
            # beside a recall that is over at once nothing comes to its end in time
            continue
        rows.append(
            [title]
            + [f"{found[f'{share}_seconds'] * 1000:.0f}" for found in (idle, busy) for share in ("p50", "p99")]
            + [f"{busy['p99_seconds'] / idle['p99_seconds']:.2f}", f"{idle['count']}, {busy['count']}"]
        )
    head = ["milliseconds", "alone, p50", "alone, p99", "beside a large recall, p50", "p99", "p99 ÷ p99", "samples"]
    dropped = "; ".join(f"{crowding[state]['dropped']} {title}" for state, title in _STATES.items())
    return f"{_table(head, rows)}\n\nNot counted, because they ended after their turn: {dropped}."


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *(["---:"] * (len(head) - 1))], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
