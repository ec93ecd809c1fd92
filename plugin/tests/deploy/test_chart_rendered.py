"""The chart as Helm renders it: valid for Kubernetes, hardened, with arguments that the service takes."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from nestvec.cli import cli
from nestvec.cli.serve_options.config_file import read_config
from nestvec.service.middleware.allowed_hosts import AllowedHosts

CHART = Path(__file__).parents[3] / "deploy" / "helm" / "nestvec"
CASES = ["defaults", *sorted(path.stem for path in (CHART / "ci").glob("*.yaml"))]
VERSIONS = ("1.27", "1.32", "1.37")
"""The oldest Kubernetes that Chart.yaml admits, one between, and the newest with schemas."""

CUSTOM = {"ServiceMonitor", "PrometheusRule", "ScaledObject"}
SELECTOR = {"app.kubernetes.io/name": "nestvec", "app.kubernetes.io/instance": "rel"}

Resource = dict[str, Any]
Rendered = dict[str, list[Resource]]

each_case = pytest.mark.parametrize("case", CASES)


def of_kind(resources: list[Resource], kind: str) -> dict[str, Resource]:
    return {one["metadata"]["name"]: one for one in resources if one["kind"] == kind}


def pods(resources: list[Resource]) -> Iterator[tuple[str, Resource]]:
    for resource in resources:
        if resource["kind"] == "Deployment":
            yield resource["metadata"]["name"], resource["spec"]["template"]["spec"]
        elif resource["kind"] == "Pod":
            yield resource["metadata"]["name"], resource["spec"]


def containers(pod: Resource) -> list[Resource]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def service_arguments(resources: list[Resource]) -> list[str]:
    (container,) = of_kind(resources, "Deployment")["rel-nestvec"]["spec"]["template"]["spec"]["containers"]
    arguments: list[str] = container["args"]
    return arguments


def values_of(case: str) -> dict[str, Any]:
    return {} if case == "defaults" else yaml.safe_load((CHART / "ci" / f"{case}.yaml").read_text())


@each_case
def test_helm_lint_finds_nothing(helm: Any, case: str) -> None:
    report = helm.lint(CHART, values_of(case), strict=True)
    assert report["errors"] == []
    assert [one for one in report["messages"] if one["severity"] >= 2] == []


def test_helm_applies_the_schema(helm: Any) -> None:
    with helm.Chart.load(CHART) as chart, pytest.raises(helm.HelmError, match="replica"):
        chart.render({"replica": 3}, name="rel", namespace="ns")


@pytest.mark.parametrize("version", VERSIONS)
@each_case
def test_every_resource_is_valid_for_kubernetes(rendered: Rendered, case: str, version: str) -> None:
    schemas = pytest.importorskip("kubernetes_validate")
    checked = [one for one in rendered[case] if one["kind"] not in CUSTOM]
    assert {"Deployment", "Service", "NetworkPolicy", "PodDisruptionBudget"} <= {
        one["kind"] for one in checked
    }
    for resource in checked:
        schemas.validate(resource, version, strict=True)


def test_the_check_for_kubernetes_can_fail(rendered: Rendered) -> None:
    schemas = pytest.importorskip("kubernetes_validate")
    wrong = copy.deepcopy(of_kind(rendered["defaults"], "Deployment")["rel-nestvec"])
    wrong["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(schemas.ValidationError):
        schemas.validate(wrong, VERSIONS[-1], strict=True)


@each_case
def test_pods_meet_the_restricted_standard_and_have_a_read_only_root(rendered: Rendered, case: str) -> None:
    for name, pod in pods(rendered[case]):
        security = pod["securityContext"]
        assert security["runAsNonRoot"] and security["runAsUser"] > 0, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert not any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC"))
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert "memory" in container["resources"]["limits"], container["name"]


@each_case
def test_what_is_mounted_exists_and_nothing_is_mounted_twice(rendered: Rendered, case: str) -> None:
    own = {kind: set(of_kind(rendered[case], kind)) for kind in ("ConfigMap", "Secret")}
    named = {"keys", "certificate", "bucket"}
    for _, pod in pods(rendered[case]):
        volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
        for container in containers(pod):
            mounts = container.get("volumeMounts", [])
            assert {mount["name"] for mount in mounts} <= set(volumes)
            assert len({mount["mountPath"] for mount in mounts}) == len(mounts)
        for volume in volumes.values():
            if "configMap" in volume:
                assert volume["configMap"]["name"] in own["ConfigMap"]
            if "secret" in volume:
                assert volume["secret"]["secretName"] in own["Secret"] | named
                assert volume["secret"]["defaultMode"] & 0o007 == 0
                assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"]


@each_case
def test_selectors_find_their_pods_and_never_change(rendered: Rendered, case: str) -> None:
    labels = {
        name: deployment["spec"]["template"]["metadata"]["labels"]
        for name, deployment in of_kind(rendered[case], "Deployment").items()
    }
    for name, deployment in of_kind(rendered[case], "Deployment").items():
        component = "triton" if name.endswith("-triton") else "service"
        # A selector of a Deployment is immutable: another one here would make `helm upgrade` fail.
        selector = SELECTOR | {"app.kubernetes.io/component": component}
        assert deployment["spec"]["selector"]["matchLabels"] == selector
        assert selector.items() <= labels[name].items()
        for constraint in deployment["spec"]["template"]["spec"].get("topologySpreadConstraints", []):
            assert constraint["labelSelector"]["matchLabels"] == selector
        assert of_kind(rendered[case], "Service")[name]["spec"]["selector"] == selector
        assert (
            of_kind(rendered[case], "NetworkPolicy")[name]["spec"]["podSelector"]["matchLabels"] == selector
        )
        for kind in ("PodDisruptionBudget", "ServiceMonitor"):
            if name in of_kind(rendered[case], kind):
                assert of_kind(rendered[case], kind)[name]["spec"]["selector"]["matchLabels"] == selector


@each_case
def test_ports_of_services_probes_and_policies_are_the_containers(rendered: Rendered, case: str) -> None:
    for name, deployment in of_kind(rendered[case], "Deployment").items():
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        ports = {port["name"] for port in container["ports"]}
        service = of_kind(rendered[case], "Service")[name]["spec"]["ports"]
        assert {port["targetPort"] for port in service} <= ports
        probes = [
            container[f"{kind}Probe"]["httpGet"]["port"] for kind in ("startup", "liveness", "readiness")
        ]
        assert set(probes) <= ports
        ingress = of_kind(rendered[case], "NetworkPolicy")[name]["spec"]["ingress"]
        assert {port["port"] for rule in ingress for port in rule["ports"]} <= ports
        monitor = of_kind(rendered[case], "ServiceMonitor").get(name)
        if monitor is not None:
            assert {one["port"] for one in monitor["spec"]["endpoints"]} <= {port["name"] for port in service}


@each_case
def test_the_probes_ask_what_they_should(rendered: Rendered, case: str) -> None:
    deployment = of_kind(rendered[case], "Deployment")["rel-nestvec"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    scheme = "HTTPS" if any(argument.startswith("--tls-cert") for argument in container["args"]) else "HTTP"
    wanted = {"startup": "/livez", "liveness": "/livez", "readiness": "/health"}
    for kind, path in wanted.items():
        assert container[f"{kind}Probe"]["httpGet"] == {"path": path, "port": "http", "scheme": scheme}


@each_case
def test_the_service_takes_its_command_line_and_configuration(
    rendered: Rendered, case: str, tmp_path: Path
) -> None:
    command, *arguments = service_arguments(rendered[case])
    config = tmp_path / "serve.yaml"
    config.write_text(of_kind(rendered[case], "ConfigMap")["rel-nestvec"]["data"]["serve.yaml"])
    arguments = [
        f"--config={config}"
        if argument.startswith("--config=")
        else argument.replace("/etc/nestvec", str(tmp_path))
        for argument in arguments
    ]
    for argument in arguments:  # The files that Secrets bring.
        _, _, path = argument.partition("=")
        if path.startswith(f"{tmp_path}/") and not Path(path).exists():
            Path(path).parent.mkdir(exist_ok=True)
            Path(path).write_text("")
    with cli.make_context("nestvec", [command]) as context:
        serve = cli.get_command(context, command)
        assert serve is not None
        params = serve.make_context(command, arguments).params
    assert (params["host"], params["port"], str(params["models"])) == ("0.0.0.0", 8080, "/models")
    given = values_of(case)
    for key in given.get("config", {"log-format": "json"}):
        assert params[key.replace("-", "_")], key
    urls = {"gpu-values": "rel-nestvec-triton:8001", "keda-values": "triton.gpu.svc:8001"}
    if case in urls:
        assert (params["engine"], params["triton_url"]) == ("triton", urls[case])
    else:
        assert params["engine"] != "triton"
    for option, keys in (("api_keys", "apiKeys"), ("admin_keys", "adminKeys"), ("tls_cert", "tls")):
        assert bool(params[option]) == bool(given.get(keys)), option


def test_an_option_that_is_misspelt_is_refused_by_the_service(helm: Any, tmp_path: Path) -> None:
    with helm.Chart.load(CHART) as chart:
        files = chart.render({"config": {"cash-size": "1MiB"}}, name="rel", namespace="ns")
    config = tmp_path / "serve.yaml"
    config.write_text(yaml.safe_load(files["nestvec/templates/configmap.yaml"])["data"]["serve.yaml"])
    with cli.make_context("nestvec", ["serve"]) as context:
        serve = cli.get_command(context, "serve")
        assert serve is not None
        with pytest.raises(Exception, match="cash-size"):
            read_config(config, serve.make_context("serve", []))


@each_case
def test_the_service_answers_to_its_names_in_the_cluster(rendered: Rendered, case: str) -> None:
    prefix = "--allowed-host="
    names = [one.removeprefix(prefix) for one in service_arguments(rendered[case]) if one.startswith(prefix)]
    hosts = AllowedHosts(names)
    for name in ("", ".ns", ".ns.svc", ".ns.svc.cluster.local"):
        assert hosts.allow(f"rel-nestvec{name}:8080")
    assert not hosts.allow("rebound.example.org")
    assert hosts.allow("embed.example.com") == (case == "cpu-values")


@each_case
def test_the_grace_period_covers_the_requests_that_were_accepted(rendered: Rendered, case: str) -> None:
    pod = of_kind(rendered[case], "Deployment")["rel-nestvec"]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 40
    assert pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "5"]
    assert "--shutdown-seconds=30" in pod["containers"][0]["args"]


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
    assert outwards("keda-values") == {53, 8001}


def test_a_change_of_options_restarts_pods(helm: Any, rendered: Rendered) -> None:
    def checksum(resources: list[Resource]) -> str:
        template = of_kind(resources, "Deployment")["rel-nestvec"]["spec"]["template"]
        return str(template["metadata"]["annotations"]["checksum/config"])

    assert checksum(rendered["defaults"]) == checksum(rendered["keda-values"])
    assert checksum(rendered["defaults"]) != checksum(rendered["cpu-values"])


def test_rules_and_dashboard_are_those_of_deploy(rendered: Rendered) -> None:
    deploy = CHART.parents[1]
    rules = of_kind(rendered["gpu-values"], "PrometheusRule")["rel-nestvec"]
    assert rules["spec"] == yaml.safe_load((deploy / "prometheus" / "nestvec-rules.yaml").read_text())
    dashboard = of_kind(rendered["gpu-values"], "ConfigMap")["rel-nestvec-dashboard"]
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    source = json.loads((deploy / "grafana" / "nestvec.json").read_text())
    assert json.loads(dashboard["data"]["nestvec.json"]) == source


def test_names_fit_however_long_the_release_is_named(helm: Any) -> None:
    values = values_of("gpu-values")
    with helm.Chart.load(CHART) as chart:
        files = chart.render(values, name="r" * 53, namespace="ns")
    for name, text in files.items():
        for resource in yaml.safe_load_all(text) if not name.endswith("NOTES.txt") else []:
            if resource:
                assert len(resource["metadata"]["name"]) <= 63, name


def test_the_package_has_the_files_that_are_links_here(helm: Any, tmp_path: Path) -> None:
    with helm.Chart.load(helm.package(CHART, destination=tmp_path)) as chart:
        files = {one["name"] for one in chart.files}
    assert {"files/nestvec-rules.yaml", "files/nestvec.json"} <= files
    assert not any(name.startswith("ci/") for name in files)
