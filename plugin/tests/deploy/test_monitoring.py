"""The dashboard, the alert rules and the autoscalers' queries: of metrics that the service exports."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import promql_parser
import pytest
import yaml

from nestvec.engines.contract import EngineInfo
from nestvec.engines.triton import TritonEngine
from nestvec.service.embedder import Embedder
from nestvec.service.observability.metrics import FAILURE_CAUSES, Metrics
from nestvec.service.observability.observer import BatchRun, RequestRecord

DEPLOY = Path(__file__).parents[3] / "deploy"
FILES = DEPLOY / "helm" / "nestvec" / "files"
RULES = FILES / "nestvec-rules.yaml"
DASHBOARD: dict[str, Any] = json.loads((FILES / "nestvec.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]

SCRAPED = {"job", "instance"}
"""Labels that Prometheus adds to everything."""

KUBERNETES = {"namespace", "pod", "service"}
"""Labels that a ServiceMonitor adds."""

TRITON = {
    "nv_gpu_utilization": {"gpu_uuid"},
    "nv_gpu_memory_used_bytes": {"gpu_uuid"},
    "nv_gpu_power_usage": {"gpu_uuid"},
    "nv_inference_count": {"model", "version"},
    "nv_inference_queue_duration_us": {"model", "version"},
    "nv_inference_request_success": {"model", "version"},
    "nv_inference_request_failure": {"model", "version"},
}
"""Triton's own, with their labels: docs/user_guide/metrics.md of triton-inference-server/server."""

SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? \S+$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="(?:[^"\\]|\\.)*"')

Labels = dict[str, set[str]]


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def adapter_query() -> str:
    (rule,) = yaml.safe_load((DEPLOY / "prometheus" / "adapter-values.yaml").read_text())["rules"]["custom"]
    query: str = rule["metricsQuery"]
    return query.replace("<<.LabelMatchers>>", 'namespace="ns",pod=~"a|b"').replace("<<.GroupBy>>", "pod")


def scaled_object_query() -> str:
    text = (DEPLOY / "helm" / "nestvec" / "templates" / "scaledobject.yaml").read_text()
    (query,) = re.findall(r"query: (.*)", text)
    return re.sub(r"\{ \{\{- \$labels -\}\} \}", '{namespace="ns",service="rel"}', query)


def expressions() -> Iterator[tuple[str, str]]:
    """Every expression, with the name of what it is of; Grafana's variables have values."""
    for panel in PANELS:
        for target in panel.get("targets", []):
            query = target["expr"].replace("$__rate_interval", "5m")
            yield panel["title"], re.sub(r"\$\w+", ".*", query)
    for rule in rules():
        yield rule.get("alert") or rule["record"], rule["expr"]
    yield "prometheus-adapter", adapter_query()
    yield "KEDA", scaled_object_query()


EXPRESSIONS = list(expressions())
each_expression = pytest.mark.parametrize(
    ("where", "expression"), EXPRESSIONS, ids=[one for one, _ in EXPRESSIONS]
)


@pytest.fixture
def exported(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> Labels:
    """The labels of each series in the service's registry, after all that it counts has happened."""
    metrics = Metrics(["/embed"])
    metrics.watch_encoders(embedder)
    embedder.residency.engine = TritonEngine({}, url="127.0.0.1:1")
    for status in (200, 424):
        metrics.request_ended(RequestRecord("POST", "/embed", encoder="tiny", texts=2, status=status))
    for failed in (False, True):
        metrics.batch_finished(BatchRun("tiny", 2, 10, 16, 0.1, 0.2, failed=failed))
    metrics.texts_requested("tiny", fresh=1, shared=1, remembered=1)
    metrics.queue_changed("tiny", 1)
    metrics.texts_truncated("tiny", 1)
    metrics.connection_refused("full")
    embedder.residency.loads["tiny"] += 1
    embedder.residency.unloads["tiny", "memory"] += 1
    monkeypatch.setattr(embedder, "engine_info", lambda _: EngineInfo("openvino", cosine=1.0))
    labels: Labels = {}
    for name, inner in SAMPLE.findall(metrics.render()[0].decode()):
        labels.setdefault(name, set()).update(LABEL.findall(inner))
    return labels


def test_a_service_exports_the_same_families(exported: Labels, service: str) -> None:
    families = re.findall(r"^# TYPE (\w+) ", httpx.get(f"{service}/metrics").text, re.MULTILINE)
    assert families
    for family in families:
        assert {family, f"{family}_total", f"{family}_count"} & set(exported), family


@each_expression
def test_metrics_are_exported(where: str, expression: str, exported: Labels) -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    names = set(
        re.findall(r"\b(?:te|nestvec|process|nv)_\w+|\bnestvec:[\w:]+", re.sub(r'"[^"]*"', "", expression))
    )
    assert names, "an expression of no metric"
    unknown = names - set(exported) - set(TRITON) - recorded
    assert not unknown, where


@each_expression
def test_expressions_parse_and_their_labels_are_exported(
    where: str, expression: str, exported: Labels
) -> None:
    promql = promql_parser
    recorded: Labels = {rule["record"]: set() for rule in rules() if "record" in rule}
    recorded["nestvec:queue_seconds:mean5m"] = {"encoder"}
    known = TRITON | recorded | exported
    available: set[str] = SCRAPED | KUBERNETES
    grouped: set[str] = set()

    def visit(node: Any) -> bool:
        kind = type(node).__name__
        if kind == "VectorSelector":
            assert node.name in known, f"{where}: {node.name}"
            used = {matcher.name for matcher in node.matchers.matchers}
            assert used <= known[node.name] | SCRAPED | KUBERNETES, f"{where}: labels of {node.name}"
            available.update(known[node.name])
        elif kind == "AggregateExpr" and node.modifier is not None:
            grouped.update(node.modifier.labels)
        return True

    promql.walk(promql.parse(expression), visit)
    assert grouped <= available, where


def test_an_expression_of_a_metric_that_does_not_exist_is_seen(exported: Labels) -> None:
    with pytest.raises(AssertionError):
        test_metrics_are_exported("", "rate(te_embed_sucess[5m])", exported)
    with pytest.raises(AssertionError):
        test_expressions_parse_and_their_labels_are_exported("", "sum by (model) (te_queue_size)", exported)
    with pytest.raises(AssertionError):
        test_expressions_parse_and_their_labels_are_exported("", 'te_queue_size{model="a"}', exported)
    with pytest.raises(ValueError, match=r"\w"):
        test_expressions_parse_and_their_labels_are_exported("", "sum(te_queue_size", exported)


def test_values_of_labels_are_ones_that_the_service_sets() -> None:
    causes = set(FAILURE_CAUSES.values())
    allowed = {
        "err": causes,
        "source": {"fresh", "shared", "remembered"},
        "reason": {"idle", "memory", "replaced"},
        "status": {".."},
    }
    for where, expression in EXPRESSIONS:
        for label, values in re.findall(r'\b(err|source|reason)=~?"([^"]*)"', expression):
            assert set(values.split("|")) <= allowed[label], f"{where}: {label}"


def test_annotations_use_labels_that_the_alert_has() -> None:
    promql = promql_parser
    for rule in (one for one in rules() if "alert" in one):
        assert {"summary", "description"} == set(rule["annotations"]), rule["alert"]
        assert rule["labels"]["severity"] in {"warning", "critical"}
        used = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
        source = next(
            (one["expr"] for one in rules() if one.get("record") == rule["expr"].split()[0]), rule["expr"]
        )
        kept: set[str] = set(SCRAPED) if rule["alert"] == "NestvecFilesExhausted" else set()
        promql.walk(
            promql.parse(source),
            lambda node, kept=kept: (
                not (
                    type(node).__name__ == "AggregateExpr"
                    and node.modifier is not None
                    and kept.update(node.modifier.labels)
                )
            ),
        )
        assert used <= kept, rule["alert"]


def test_panels_do_not_overlap_and_have_what_a_reader_needs() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    cells: set[tuple[int, int]] = set()
    for panel in PANELS:
        place = panel["gridPos"]
        own = {
            (place["x"] + right, place["y"] + down)
            for right in range(place["w"])
            for down in range(place["h"])
        }
        assert max(column for column, _ in own) < 24
        assert not own & cells, panel["title"]
        cells |= own
        if panel["type"] != "row":
            assert panel["description"] and panel["fieldConfig"]["defaults"]["unit"], panel["title"]
            assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])


def test_variables_are_declared_and_used() -> None:
    declared = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z_]+)", json.dumps(DASHBOARD))) - {"__rate_interval", "__all"}
    assert used == declared


def test_variables_are_of_exported_metrics(exported: Labels) -> None:
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.fullmatch(
                r"label_values\((\w+)(?:\{.*\})?, (\w+)\)", variable["definition"]
            ).groups()  # type: ignore[union-attr]
            assert label in {**TRITON, **exported}[metric] | SCRAPED, variable["name"]


def test_legends_use_labels_that_the_expression_keeps() -> None:
    for panel in PANELS:
        for target in panel.get("targets", []):
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                aggregated = re.search(r"\bby \(([^)]*)\)", target["expr"])
                kept = set(aggregated[1].split(", ")) if aggregated else SCRAPED | {"gpu_uuid"}
                assert label in kept, panel["title"]


@pytest.mark.parametrize(
    "arguments", [["check", "rules", str(RULES)], ["test", "rules", "nestvec-rules-tests.yaml"]]
)
def test_promtool_accepts_the_rules(arguments: list[str]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    done = subprocess.run(
        [promtool, *arguments], cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
