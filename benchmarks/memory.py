"""The memory of each process: what it has taken at most since the last look."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError
from mailrecall.embedded.session import Session

_PROC = Path("/proc")
_RESET_PEAK = "5"
"""proc(5): written to clear_refs, it sets a process's peak to its present size."""


@dataclass(frozen=True, slots=True)
class Peak:
    """The most that one process took."""

    service: str
    kind: str
    """Whether it is the service itself or a child of it."""
    pid: int
    mib: float
    """Resident, with the shared memory that it has touched: of PostgreSQL its shared buffers."""

    def as_json(self) -> dict[str, object]:
        """Return it under its names."""
        return asdict(self)


def forget_peaks(session: Session) -> None:
    """Start to look for peaks anew.

    Raises:
        BenchmarkError: a process's peak stays what it was, so the next figures would be those of something earlier.
    """
    for service, pids in session.processes().items():
        for pid in pids:
            try:
                (_PROC / str(pid) / "clear_refs").write_text(_RESET_PEAK, encoding="ascii")
            except (FileNotFoundError, ProcessLookupError):
                # ended meanwhile, and its peak with it
                continue
            except OSError as error:
                raise BenchmarkError(f"The peak memory of {service} ({pid}) cannot be reset: {error}.") from error


def peaks(session: Session) -> list[Peak]:
    """Return the peak of each process that runs now."""
    return [
        Peak(service, "child" if place else "itself", pid, mib)
        for service, pids in sorted(session.processes().items())
        for place, pid in enumerate(pids)
        if (mib := _peak(pid)) is not None
    ]


def largest(found: Sequence[Peak]) -> dict[str, float]:
    """Return the peak of each service's largest process."""
    services: dict[str, float] = {}
    for peak in found:
        services[peak.service] = max(peak.mib, services.get(peak.service, 0.0))
    return services


def _peak(pid: int) -> float | None:
    try:
        lines = (_PROC / str(pid) / "status").read_text(encoding="ascii", errors="replace").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return None
    found = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    # what has no memory of its own left is about to be reaped
    return int(found[0]) / 1024 if found else None
