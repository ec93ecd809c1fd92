"""What the values of the chart do: keys, encoders, Triton, scaling, policies, monitoring."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

CHART = Path(__file__).parents[3] / "deploy" / "helm" / "nestvec"
SELECTOR = {"app.kubernetes.io/name": "nestvec", "app.kubernetes.io/instance": "rel"}

Resource = dict[str, Any]
Rendered = dict[str, list[Resource]]


def of_kind(resources: list[Resource], kind: str) -> dict[str, Resource]:
    return {resource["metadata"]["name"]: resource for resource in resources if resource["kind"] == kind}


def test_keys_become_a_file_with_one_a_line(rendered: Rendered) -> None:
    secret = of_kind(rendered["cpu-values"], "Secret")["rel-nestvec-api-keys"]
    text = base64.b64decode(secret["data"]["keys.txt"]).decode()
    assert text == "correct-horse-battery-staple\nsecond-key\n"
    assert not of_kind(rendered["gpu-values"], "Secret")


def test_where_encoders_come_from(rendered: Rendered) -> None:
    def models(case: str, name: str) -> tuple[Resource, list[Resource]]:
        pod = of_kind(rendered[case], "Deployment")[name]["spec"]["template"]["spec"]
        mount = next(one for one in pod["containers"][0]["volumeMounts"] if one["name"] == "models")
        assert (mount["mountPath"], mount["readOnly"]) == ("/models", True)
        return next(one for one in pod["volumes"] if one["name"] == "models"), pod.get("initContainers", [])

    for name in ("rel-nestvec", "rel-nestvec-triton"):
        volume, first = models("gpu-values", name)
        assert volume["persistentVolumeClaim"] == {"claimName": "encoders", "readOnly": True}
        assert first == []
    volume, (copy_from_s3,) = models("cpu-values", "rel-nestvec")
    assert volume["emptyDir"] == {"sizeLimit": "5Gi"}
    assert copy_from_s3["args"][:2] == ["s3", "sync"]
    assert copy_from_s3["args"][-3:] == [
        "s3://encoders/prod",
        "/encoders",
        "--endpoint-url=http://minio.storage:9000",
    ]
    _, (copy_from_image,) = models("keda-values", "rel-nestvec")
    assert copy_from_image["command"] == ["cp", "-R", "/models/.", "/encoders/"]
    assert "/models" not in {mount["mountPath"] for mount in copy_from_image["volumeMounts"]}


def test_triton_has_gpus_and_its_nodes(rendered: Rendered) -> None:
    deployment = of_kind(rendered["gpu-values"], "Deployment")["rel-nestvec-triton"]
    pod = deployment["spec"]["template"]["spec"]
    assert deployment["spec"]["replicas"] == 2
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert pod["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert pod["runtimeClassName"] == "nvidia"
    assert "rel-nestvec-triton" in of_kind(rendered["gpu-values"], "PodDisruptionBudget")
    assert set(of_kind(rendered["defaults"], "Deployment")) == {"rel-nestvec"}


def test_how_replicas_are_chosen(rendered: Rendered) -> None:
    def spec(case: str, kind: str, name: str = "rel-nestvec") -> Resource:
        found: Resource = of_kind(rendered[case], kind)[name]["spec"]
        return found

    assert spec("defaults", "Deployment")["replicas"] == 2
    for case in ("cpu-values", "gpu-values", "keda-values"):
        assert "replicas" not in spec(case, "Deployment"), "an upgrade would undo what the autoscaler chose"
    (cpu,) = spec("cpu-values", "HorizontalPodAutoscaler")["metrics"]
    assert cpu["resource"] == {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}
    queue, cpu = spec("gpu-values", "HorizontalPodAutoscaler")["metrics"]
    assert queue["pods"]["metric"] == {"name": "nestvec_queue_seconds"}
    assert queue["pods"]["target"] == {"type": "AverageValue", "averageValue": "50m"}
    scaled = spec("keda-values", "ScaledObject")
    assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (1, 20)
    by_queue, by_cpu = scaled["triggers"]
    assert (by_queue["type"], by_queue["metricType"]) == ("prometheus", "Value")
    assert by_queue["metadata"]["threshold"] == "0.15"
    assert by_cpu == {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "80"}}
    assert not of_kind(rendered["keda-values"], "HorizontalPodAutoscaler")


def test_an_autoscaler_without_a_metric_is_refused(helm: Any) -> None:
    values = {"autoscaling": {"mode": "hpa", "cpuUtilization": 0}}
    with helm.Chart.load(CHART) as chart, pytest.raises(helm.HelmError, match="it has no metric"):
        chart.render(values, name="rel", namespace="ns")


def test_who_may_call_whom(rendered: Rendered) -> None:
    policy = of_kind(rendered["gpu-values"], "NetworkPolicy")
    (ingress,) = policy["rel-nestvec"]["spec"]["ingress"]
    namespaces = [
        peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        for peer in ingress["from"]
        if "namespaceSelector" in peer
    ]
    assert namespaces == ["milvus", "search", "monitoring"]
    assert {"podSelector": {}} not in ingress["from"], "clients are named, so the namespace is not enough"
    assert {"podSelector": {}} in of_kind(rendered["defaults"], "NetworkPolicy")["rel-nestvec"]["spec"][
        "ingress"
    ][0]["from"]
    calls, metrics = policy["rel-nestvec-triton"]["spec"]["ingress"]
    service = SELECTOR | {"app.kubernetes.io/component": "service"}
    assert calls == {
        "ports": [{"port": "grpc", "protocol": "TCP"}],
        "from": [{"podSelector": {"matchLabels": service}}],
    }
    assert metrics["ports"] == [{"port": "metrics", "protocol": "TCP"}]

    def outwards(case: str, name: str = "rel-nestvec") -> set[int]:
        rules = of_kind(rendered[case], "NetworkPolicy")[name]["spec"]["egress"]
        return {port["port"] for rule in rules for port in rule["ports"]}

    assert outwards("defaults") == {53}
    assert outwards("cpu-values") == {53, 9000}
    assert outwards("gpu-values") == {53, 8001, 443}
    assert outwards("gpu-values", "rel-nestvec-triton") == {53}
    assert outwards("keda-values") == {53, 8001, 9001}


def test_a_change_of_options_restarts_pods(helm: Any, rendered: Rendered) -> None:
    def checksum(resources: list[Resource]) -> str:
        template = of_kind(resources, "Deployment")["rel-nestvec"]["spec"]["template"]
        return str(template["metadata"]["annotations"]["checksum/config"])

    assert checksum(rendered["defaults"]) == checksum(rendered["keda-values"])
    assert checksum(rendered["defaults"]) != checksum(rendered["cpu-values"])


def test_rules_and_dashboard_are_the_files_of_the_chart(rendered: Rendered) -> None:
    rules = of_kind(rendered["gpu-values"], "PrometheusRule")["rel-nestvec"]
    assert rules["spec"] == yaml.safe_load((CHART / "files" / "nestvec-rules.yaml").read_text())
    dashboard = of_kind(rendered["gpu-values"], "ConfigMap")["rel-nestvec-dashboard"]
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    source = json.loads((CHART / "files" / "nestvec.json").read_text())
    assert json.loads(dashboard["data"]["nestvec.json"]) == source


def test_names_fit_however_long_the_release_is_named(helm: Any) -> None:
    values = yaml.safe_load((CHART / "ci" / "gpu-values.yaml").read_text())
    with helm.Chart.load(CHART) as chart:
        files = chart.render(values, name="r" * 53, namespace="ns")
    for name, text in files.items():
        for resource in yaml.safe_load_all(text) if not name.endswith("NOTES.txt") else []:
            if resource:
                assert len(resource["metadata"]["name"]) <= 63, name


NUMBERS: dict[str, Any] = {
    "models": {
        "source": "s3",
        "s3": {"uri": "s3://b/p", "existingSecret": "11", "endpoint": "http://[fe80::1]"},
    },
    "apiKeys": {"values": ["a"], "key": "123"},
    "adminKeys": {"existingSecret": "12"},
    "tls": {"existingSecret": "13"},
    "serviceAccount": {"name": "14"},
    "priorityClassName": "15",
    "milvus": {"namespace": "2024", "podLabels": {"tier": "16"}},
    "networkPolicy": {"metricsFrom": [{"namespaceSelector": {}}]},
    "triton": {"enabled": True, "replicas": 2, "runtimeClassName": "17"},
    "serviceMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True},
    "dashboard": {"enabled": True},
}
"""Names that YAML would read as numbers, and all parts of the chart at once."""


@pytest.mark.parametrize(
    ("autoscaling", "names"),
    [
        ({"mode": "hpa", "queue": {"enabled": True}}, {}),
        (
            {"mode": "keda", "keda": {"prometheusAddress": "http://p:9090", "authenticationRef": "18"}},
            {"nameOverride": "19", "fullnameOverride": "20"},
        ),
        ({"mode": "none"}, {"models": {"source": "pvc", "pvc": {"claimName": "21", "subPath": "22"}}}),
    ],
)
@pytest.mark.parametrize(("release", "namespace"), [("123", "2025"), ("on", "no")])
def test_names_that_are_numbers_or_truth_values_stay_texts(
    helm: Any, autoscaling: Resource, names: Resource, release: str, namespace: str
) -> None:
    with helm.Chart.load(CHART) as chart:
        values = {**NUMBERS, "autoscaling": autoscaling, **names}
        files = chart.render(values, name=release, namespace=namespace)
    texts = [text for name, text in files.items() if not name.endswith("NOTES.txt")]
    resources = [each for text in texts for each in yaml.safe_load_all(text) if each]
    assert {"ServiceMonitor", "PrometheusRule", "NetworkPolicy", "Secret"} <= {
        each["kind"] for each in resources
    }
    for resource in resources:
        if resource["kind"] in ("ServiceMonitor", "PrometheusRule", "ScaledObject"):
            metadata = resource["metadata"]
            assert all(isinstance(text, str) for text in (metadata["name"], *metadata["labels"].values()))
        else:
            kubernetes_validate.validate(resource, "1.37", strict=True)
        if resource["kind"] == "ScaledObject":
            assert resource["spec"]["scaleTargetRef"]["name"] == "20"
            assert resource["spec"]["triggers"][0]["authenticationRef"] == {"name": "18"}
        if resource["kind"] == "Secret":
            assert list(resource["data"]) == ["123"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"autoscaling": {"mode": "hpa", "minReplicas": 5, "maxReplicas": 2}}, "minReplicas is 5, more than"),
        (
            {
                "autoscaling": {
                    "mode": "keda",
                    "minReplicas": 5,
                    "maxReplicas": 2,
                    "keda": {"prometheusAddress": "http://p:9090"},
                }
            },
            "minReplicas is 5, more than",
        ),
        ({"podLabels": {"app.kubernetes.io/name": "x"}}, "invalid propertyName .app.kubernetes.io/name"),
        ({"autoscaling": {"mode": "keda"}}, r"prometheusAddress is empty: set .* such as http://"),
        *(
            (
                {
                    "autoscaling": {"mode": mode, "keda": {"prometheusAddress": "http://p:9090"}},
                    "resources": {"requests": {"cpu": None}},
                },
                r"resources\.requests\.cpu is empty: set it, or set cpuUtilization to 0",
            )
            for mode in ("hpa", "keda")
        ),
        ({"apiKeys": {"existingSecret": "a", "values": ["b" * 20]}}, "apiKeys has values and existingSecret"),
        ({"adminKeys": {"existingSecret": "a", "values": ["b" * 20]}}, "adminKeys has values and exist"),
        ({"triton": {"enabled": True, "externalUrl": "t:8001"}}, r"externalUrl is t:8001, which would not"),
    ],
)
def test_values_that_kubernetes_would_refuse_are_refused(helm: Any, values: Resource, message: str) -> None:
    with helm.Chart.load(CHART) as chart, pytest.raises(helm.HelmError, match=message):
        chart.render(values, name="rel", namespace="ns")


def test_the_values_that_operators_set_reach_the_pods(helm: Any) -> None:
    placement = {
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}],
        "extraEnv": [
            {"name": "OMP_NUM_THREADS", "value": "4"},
            {"name": "PROXY", "valueFrom": {"secretKeyRef": {"name": "proxy", "key": "url"}}},
        ],
    }
    values = {
        **placement,
        "imagePullSecrets": [{"name": "registry"}],
        "triton": {**placement, "enabled": True, "replicas": 2},
        "autoscaling": {"mode": "hpa"},
        # Kubernetes takes the limits for requests that are not there.
        "resources": {"requests": {"cpu": None}, "limits": {"cpu": "2"}},
    }
    names = []
    for release in ("first", "second"):
        with helm.Chart.load(CHART) as chart:
            files = chart.render(values, name=release, namespace="ns")
        texts = [text for name, text in files.items() if not name.endswith("NOTES.txt")]
        resources = [each for text in texts for each in yaml.safe_load_all(text) if each]
        for resource in resources:
            kubernetes_validate.validate(resource, "1.37", strict=True)
        names.append({(resource["kind"], resource["metadata"]["name"]) for resource in resources})
        pods = [each["spec"]["template"]["spec"] for each in resources if each["kind"] == "Deployment"]
        assert len(pods) == 2
        for pod in pods:
            assert pod["imagePullSecrets"] == [{"name": "registry"}]
            assert pod["nodeSelector"].items() >= placement["nodeSelector"].items()
            assert pod["tolerations"] == placement["tolerations"]
            env = pod["containers"][0]["env"]
            assert [each for each in placement["extraEnv"] if each not in env] == []
    assert not names[0] & names[1]


def test_the_package_has_the_rules_and_the_dashboard(helm: Any, tmp_path: Path) -> None:
    with helm.Chart.load(helm.package(CHART, destination=tmp_path)) as chart:
        files = {file["name"] for file in chart.files}
    assert {"files/nestvec-rules.yaml", "files/nestvec.json"} <= files
    assert not any(name.startswith("ci/") for name in files)


OPTIONAL: dict[str, Any] = {
    "nameOverride": "vectors",
    "fullnameOverride": "embedder",
    "clusterDomain": "example.internal",
    "replicas": 1,
    "extraEnv": [{"name": "NESTVEC_SERVE_THREADS", "value": "2"}],
    "adminKeys": {"values": ["admin"]},
    "service": {"type": "LoadBalancer", "annotations": {"a/b": "c"}, "sessionAffinity": "ClientIP"},
    "serviceAccount": {"annotations": {"role": "reader"}},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
    "podAnnotations": {"note": "1"},
    "podLabels": {"team": "search"},
    "podDisruptionBudget": {"enabled": False},
    "preStopSeconds": 0,
    "networkPolicy": {"enabled": False},
    "triton": {
        "enabled": True,
        "extraEnv": [{"name": "A", "value": "1"}],
        "affinity": {"nodeAffinity": {}},
        "podAnnotations": {"note": "2"},
    },
}
"""Values that the cases in ``ci/`` leave at their defaults."""


def test_the_other_values_render_too(helm: Any) -> None:
    with helm.Chart.load(CHART) as chart:
        files = chart.render(OPTIONAL, name="rel", namespace="ns")
    texts = [text for name, text in files.items() if not name.endswith("NOTES.txt")]
    resources = [one for text in texts for one in yaml.safe_load_all(text) if one]
    for resource in resources:
        kubernetes_validate.validate(resource, "1.37", strict=True)
    assert not of_kind(resources, "NetworkPolicy") and not of_kind(resources, "PodDisruptionBudget")
    template = of_kind(resources, "Deployment")["embedder"]["spec"]["template"]
    pod = template["spec"]
    (container,) = pod["containers"]
    assert "--allowed-host=embedder.ns.svc.example.internal" in container["args"]
    assert "lifecycle" not in container and pod["terminationGracePeriodSeconds"] == 55
    assert container["env"] == OPTIONAL["extraEnv"]
    for key in ("nodeSelector", "tolerations", "affinity"):
        assert pod[key] == OPTIONAL[key]
    assert OPTIONAL["podLabels"].items() <= template["metadata"]["labels"].items()
    assert OPTIONAL["podAnnotations"].items() <= template["metadata"]["annotations"].items()
    service = of_kind(resources, "Service")["embedder"]
    assert service["metadata"]["annotations"] == {"a/b": "c"}
    assert (service["spec"]["type"], service["spec"]["sessionAffinity"]) == ("LoadBalancer", "ClientIP")
    assert of_kind(resources, "ServiceAccount")["embedder"]["metadata"]["annotations"] == {"role": "reader"}
    secret = of_kind(resources, "Secret")["embedder-admin-keys"]
    assert base64.b64decode(secret["data"]["keys.txt"]) == b"admin\n"
    triton = of_kind(resources, "Deployment")["embedder-triton"]["spec"]["template"]
    assert triton["metadata"]["annotations"] == {"note": "2"}
    assert triton["spec"]["containers"][0]["env"] == OPTIONAL["triton"]["extraEnv"]
