"""The chart of nestvec with Milvus, rendered beside a stand-in for Milvus's own chart."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import yaml

HELM = Path(__file__).parents[3] / "deploy" / "helm"
CHART = yaml.safe_load((HELM / "nestvec-with-milvus" / "Chart.yaml").read_text())
DEPENDENCIES = {each["name"]: each for each in CHART["dependencies"]}

SHOW_VALUES = """
apiVersion: v1
kind: ConfigMap
metadata: {name: what-milvus-is-given}
data:
  values: {{ omit .Values "global" | toJson | quote }}
"""

Resources = dict[tuple[str, str], dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart with its dependencies, as ``helm dependency update`` leaves it."""
    folder = tmp_path_factory.mktemp("charts") / "nestvec-with-milvus"
    shutil.copytree(HELM / folder.name, folder, ignore=shutil.ignore_patterns("charts"))
    shutil.copytree(HELM / "nestvec", folder / "charts" / "nestvec")
    milvus = folder / "charts" / "milvus"
    (milvus / "templates").mkdir(parents=True)
    version = DEPENDENCIES["milvus"]["version"]
    (milvus / "Chart.yaml").write_text(f"apiVersion: v1\nname: milvus\nversion: {version}\nicon: a.png\n")
    (milvus / "templates" / "values.yaml").write_text(SHOW_VALUES)
    return folder


def render(helm: Any, folder: Path, values: dict[str, Any]) -> Resources:
    with helm.Chart.load(folder) as chart:
        files = chart.render(values, name="rel", namespace="ns")
    texts = [text for name, text in files.items() if not name.endswith("NOTES.txt")]
    resources = [resource for text in texts for resource in yaml.safe_load_all(text) if resource]
    return {(each["kind"], each["metadata"]["name"]): each for each in resources}


def test_versions_are_pinned_and_those_of_the_charts() -> None:
    own = yaml.safe_load((HELM / "nestvec" / "Chart.yaml").read_text())
    assert (CHART["version"], CHART["appVersion"], CHART["kubeVersion"]) == (
        own["version"],
        own["appVersion"],
        own["kubeVersion"],
    )
    assert (DEPENDENCIES["nestvec"]["version"], DEPENDENCIES["nestvec"]["repository"]) == (
        own["version"],
        "file://../nestvec",
    )
    assert DEPENDENCIES["milvus"]["version"].replace(".", "").isdecimal(), "a range is not pinned"
    assert urlsplit(DEPENDENCIES["milvus"]["repository"]).scheme == "https"


def test_milvus_and_the_service_have_each_others_addresses(helm: Any, folder: Path) -> None:
    resources = render(helm, folder, {})
    values = yaml.safe_load(resources["ConfigMap", "what-milvus-is-given"]["data"]["values"])
    config = yaml.safe_load(values["extraConfigFiles"]["user.yaml"])
    provider = config["function"]["textEmbedding"]["providers"]["cohere"]
    (port,) = resources["Service", "nestvec"]["spec"]["ports"]
    address = urlsplit(provider["url"])
    assert (address.scheme, address.netloc) == (port["appProtocol"], f"nestvec:{port['port']}")
    assert provider["credential"] in config["credential"]
    (container,) = resources["Deployment", "nestvec"]["spec"]["template"]["spec"]["containers"]
    assert "--allowed-host=nestvec" in container["args"]
    assert resources["ConfigMap", "nestvec-addresses"]["data"] == {
        "NESTVEC_URI": f"http://{values['fullnameOverride']}.ns.svc:19530"
    }
    callers = resources["NetworkPolicy", "nestvec"]["spec"]["ingress"][0]["from"]
    # The label of the pods of Milvus's chart, whose nameOverride stays empty.
    assert {"matchLabels": {"app.kubernetes.io/name": "milvus"}} in [each["podSelector"] for each in callers]
    assert "nameOverride" not in values


def test_the_values_of_milvus_are_those_of_its_chart(helm: Any, folder: Path) -> None:
    """Its keys are not checked by a schema; these are as in the values of version 5.0.19."""
    resources = render(helm, folder, {})
    values = yaml.safe_load(resources["ConfigMap", "what-milvus-is-given"]["data"]["values"])
    assert DEPENDENCIES["milvus"]["version"] == "5.0.19", "compare the keys with those of the new version"
    assert values.pop("extraConfigFiles").keys() == {"user.yaml"}
    assert values == {
        "enabled": True,
        "fullnameOverride": "milvus",
        "cluster": {"enabled": False},
        "etcd": {"replicaCount": 1},
        "minio": {"mode": "standalone"},
        "pulsarv3": {"enabled": False},
    }


def test_a_milvus_that_exists_is_named(helm: Any, folder: Path) -> None:
    values = {"milvus": {"enabled": False}, "externalMilvus": {"uri": "http://milvus.db.svc:19530"}}
    resources = render(helm, folder, values)
    assert ("ConfigMap", "what-milvus-is-given") not in resources
    addresses = resources["ConfigMap", "nestvec-addresses"]
    assert addresses["data"] == {"NESTVEC_URI": "http://milvus.db.svc:19530"}
    with pytest.raises(helm.HelmError, match=r"Set externalMilvus\.uri"):
        render(helm, folder, {"milvus": {"enabled": False}})


def test_values_of_nestvec_are_checked_and_every_resource_is_valid(helm: Any, folder: Path) -> None:
    with pytest.raises(helm.HelmError, match="replica"):
        render(helm, folder, {"nestvec": {"replica": 3}})
    for resource in render(helm, folder, {}).values():
        kubernetes_validate.validate(resource, "1.37", strict=True)
    report = helm.lint(folder, {}, strict=True)
    assert report["errors"] == []
    assert [each for each in report["messages"] if each["severity"] >= 2] == []
