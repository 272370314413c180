"""Prometheus metrics: what processes count while they work, and what the exporter reads from databases and broker.

Counts and durations are in `instruments`, the state of the house in `state`; `docs/adr/0029-metrics.md` says why.
No label ever bears an address or a recipient's id (R23).
"""
