"""What is counted, for Prometheus: one registry a server, no names of videos and no words of queries in it."""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prvr.service.desk import Desk
from prvr.service.jobs import Jobs

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SIZES = (1, 2, 4, 8, 16)


class Metrics:
    """The counters of one server."""

    def __init__(self, desk: Desk) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.requests = Counter("prvr_requests", "Requests.", ["method", "route", "status"], registry=self._registry)
        self.seconds = Histogram(
            "prvr_request_seconds", "Until an answer begins.", ["route"], buckets=SECONDS, registry=self._registry
        )
        self.searches = Counter("prvr_searches", "Searches.", ["verdict"], registry=self._registry)
        batches = Histogram("prvr_batch_size", "Questions in one go.", buckets=SIZES, registry=self._registry)
        desk.batches = batches.observe

    def watch(self, desk: Desk, jobs: Jobs) -> None:
        """Read these whenever somebody asks."""
        self._registry.register(_Looked(desk, jobs))

    def text(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self._registry)


class _Looked(Collector):
    def __init__(self, desk: Desk, jobs: Jobs) -> None:
        self._desk, self._jobs = desk, jobs

    def collect(self) -> Iterator[Metric]:
        """What is true now."""
        yield GaugeMetricFamily("prvr_queue_length", "Questions that wait or run.", self._desk.waiting)
        yield GaugeMetricFamily("prvr_index_videos", "Videos in the index.", self._desk.num_videos)
        jobs = GaugeMetricFamily("prvr_jobs", "Jobs that are kept.", labels=["kind", "status"])
        numbers: dict[tuple[str, str], int] = {}
        for job in self._jobs.all():
            numbers[job.kind, job.status] = numbers.get((job.kind, job.status), 0) + 1
        for labels, number in numbers.items():
            jobs.add_metric(labels, number)
        yield jobs


class Counted:
    """Counts every answer by the route that gave it."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, took = time.perf_counter(), 500, 0.0

        async def watched(message: Message) -> None:
            nonlocal status, took
            if message["type"] == "http.response.start":
                status, took = message["status"], time.perf_counter() - began
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            route = getattr(scope.get("route"), "path", "") or "other"
            method = scope["method"] if scope["method"] in ("GET", "POST", "DELETE", "HEAD") else "other"
            self._metrics.requests.labels(method, route, status).inc()
            self._metrics.seconds.labels(route).observe(took or time.perf_counter() - began)
