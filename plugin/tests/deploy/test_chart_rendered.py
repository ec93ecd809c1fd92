"""The chart as Helm renders it: valid for Kubernetes, hardened, with arguments that the service takes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from nestvec.cli import cli
from nestvec.cli.serve_options.config_file import read_config
from nestvec.engines.triton import server
from nestvec.service.middleware.allowed_hosts import AllowedHosts

CHART = Path(__file__).parents[3] / "deploy" / "helm" / "nestvec"
CASES = ["defaults", *sorted(path.stem for path in (CHART / "ci").glob("*.yaml"))]
VERSIONS = ("1.27", "1.32", "1.37")
"""The oldest Kubernetes that Chart.yaml admits, one between, and the newest with kubernetes_validate."""

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
    checked = [one for one in rendered[case] if one["kind"] not in CUSTOM]
    assert {"Deployment", "Service", "NetworkPolicy", "PodDisruptionBudget"} <= {
        one["kind"] for one in checked
    }
    for resource in checked:
        kubernetes_validate.validate(resource, version, strict=True)


def test_the_check_for_kubernetes_can_fail(rendered: Rendered) -> None:
    wrong = copy.deepcopy(of_kind(rendered["defaults"], "Deployment")["rel-nestvec"])
    wrong["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


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
    urls = {
        "gpu-values": "rel-nestvec-triton:8001",
        "keda-values": "triton-a.gpu.svc:8001,triton-b.gpu.svc:9001",
    }
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
    # Five seconds more than the service takes at most, and with Triton what that may take for its calls.
    has_triton = any(text.startswith("--triton-url=") for text in service_arguments(rendered[case]))
    triton_seconds = server._CLOSE_SECONDS if has_triton else 0
    assert pod["terminationGracePeriodSeconds"] == 40 + triton_seconds
    assert pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "5"]
    assert "--shutdown-seconds=30" in pod["containers"][0]["args"]
