"""The dashboard asks for metrics that there are, by labels that they have."""

import json
import re
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from pipelines.chain.verdict import Verdict
from pipelines.hosts.events import Ended, Failed
from pipelines.hosts.monitor import Monitor

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "docker" / "grafana.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
OF_PROMETHEUS = {"instance"}
STATE = dict.fromkeys(
    ("scans_running", "queue_bytes", "scans_waiting", "workers_idle", "scans_not_kept", "keeping_problem"), 0
)


@pytest.fixture(scope="module")
def samples() -> dict[str, set[str]]:
    """Name of each metric's samples → their labels, after a scan that failed late."""
    monitor = Monitor(lambda: STATE)
    monitor(Failed("0123", "peer", "the peer has gone"))
    monitor(Ended("0123", "sense", "the peer has gone", Verdict(n_images=1, latency=0.5)))
    families = text_string_to_metric_families(generate_latest(monitor.registry).decode())
    return {sample.name: set(sample.labels) for family in families for sample in family.samples}


@pytest.mark.parametrize("query", QUERIES)
def test_queries_name_what_there_is(samples, query):
    """A panel without data looks like a day without failures."""
    names = re.findall(r"kband_\w+", query)
    assert names
    assert set(names) <= samples.keys()
    labels = {label for group in re.findall(r"by \(([^)]*)\)", query) for label in re.split(r",\s*", group)}
    assert labels <= OF_PROMETHEUS.union(*(samples[name] for name in names))


def test_each_metric_is_on_the_dashboard(samples):
    """What is counted is looked at; a histogram by its buckets."""
    wanted = {name for name in samples if not name.endswith(("_created", "_sum", "_count"))}
    assert wanted == set(re.findall(r"kband_\w+", " ".join(QUERIES)))


def test_latency_and_failures_are_told_by_pipeline(samples):
    """A slow or failing protocol must not hide among the others."""
    assert samples["kband_failed_scans_total"] == {"pipeline"}
    assert samples["kband_last_line_to_image_seconds_bucket"] == {"pipeline", "le"}
