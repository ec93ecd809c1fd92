"""Counts and times, for Prometheus."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 300.0)
_COUNTED: Final = """
    ALTER ANALYZE BEGIN COMMIT COPY CREATE DELETE DROP EXPLAIN INSERT ROLLBACK SELECT SET SHOW UPDATE
    WITH error"""
_WORDS: Final = frozenset(_COUNTED.split())


class PgMetrics:
    """What a server counts, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._statements = Histogram(
            "nestvec_pg_statement_seconds",
            "Time of statements, by their first word; error for those that failed.",
            ["statement"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.connections = Gauge("nestvec_pg_connections", "Open connections.", registry=self.registry)
        self._refused = Counter(
            "nestvec_pg_connections_refused_total",
            "Connections that were refused, by the reason.",
            ["reason"],
            registry=self.registry,
        )

    def statement_done(self, word: str, seconds: float) -> None:
        """Count a statement."""
        self._statements.labels(word if word in _WORDS else "other").observe(seconds)

    def refused(self, reason: str) -> None:
        """Count a connection that was refused: ``limit``, ``password``, ``protocol``."""
        self._refused.labels(reason).inc()
