"""How the shards, the broker and the work that waits are, for administrators: numbers, and nobody's address."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mailrecall.directory.lookup import Account
from mailrecall.metrics.state import StateCollector
from mailrecall.wiring import Process
from services.gateway.administration import require_administrator
from services.gateway.settings import GatewaySettings


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard at this moment."""

    number: int
    answers: bool
    seconds: float | None
    """How long it took to answer."""
    lag: float
    """Seconds for which the oldest deposit or withdrawal has waited for it."""


@dataclass(frozen=True, slots=True)
class Wellbeing:
    """The house at this moment."""

    control: bool
    broker: bool
    shards: Sequence[Shard]
    waiting: int
    """Work in the outbox that is due or handed to workers."""
    oldest: float
    """Seconds for which the oldest of that has been due."""
    put_aside: int
    """Work that failed too often; an operator has to look at it."""
    queues: Mapping[str, int]
    """Tasks that wait in each queue of the broker."""
    running: int
    """Recalls that have not settled."""
    overdue: int

    @property
    def well(self) -> bool:
        """Whether nothing needs anybody."""
        answers = all(shard.answers for shard in self.shards) and self.control and self.broker
        return answers and not self.put_aside and not self.overdue


def look(process: Process[GatewaySettings], administrator: Account) -> Wellbeing:
    """Ask everything side by side, as the metrics do.

    Raises:
        Problem: the account is no administrator.
    """
    require_administrator(administrator)
    samples = {
        family.name.removeprefix("mailrecall_"): family.samples
        for family in StateCollector(process.databases, process.settings).collect()
    }
    by_shard = {
        name: {sample.labels["shard"]: sample.value for sample in samples[name]}
        for name in ("shard_up", "shard_answer_seconds", "shard_lag_seconds")
    }

    def total(name: str, *states: str) -> int:
        return int(sum(s.value for s in samples[name] if not states or s.labels["state"] in states))

    return Wellbeing(
        control=total("control_up") > 0,
        broker=total("broker_up") > 0,
        shards=[
            Shard(
                int(shard),
                answers > 0,
                by_shard["shard_answer_seconds"].get(shard),
                by_shard["shard_lag_seconds"].get(shard, 0.0),
            )
            for shard, answers in sorted(by_shard["shard_up"].items(), key=lambda item: int(item[0]))
        ],
        waiting=total("outbox_work", "due", "published", "retry"),
        oldest=max((sample.value for sample in samples["outbox_oldest_seconds"]), default=0.0),
        put_aside=total("outbox_work", "dead"),
        queues={s.labels["queue"]: int(s.value) for s in samples["queue_messages"]},
        running=total("recalls_unfinished"),
        overdue=total("recalls_overdue"),
    )
