"""The images and compose files, as far as they can be checked without an engine that runs them."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from nestvec import __version__
from nestvec.cli import cli
from nestvec_exporters.graph.tensorrt import RELEASE

DOCKER = Path(__file__).parents[2] / "docker"
COMPOSE = DOCKER / "compose.yaml"
PROFILES = ("cpu", "gpu", "monitoring")
PYPROJECT = tomllib.loads((DOCKER.parent / "pyproject.toml").read_text())["project"]
OURS = {"nestvec", "nestvec-triton", "triton", "prometheus", "grafana"}


def services(profile: str = "") -> dict[str, dict[str, Any]]:
    """The services that a profile starts; all without one."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
    return {
        name: one for name, one in found.items() if not profile or profile in one.get("profiles", [profile])
    }


def lock_tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lock_tool", DOCKER.parent / "tools" / "lock.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LOCK = lock_tool()


def checked(*paths: Path) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    return subprocess.run([*program, *map(str, paths)], capture_output=True, text=True, check=False)


def test_the_file_follows_the_compose_specification(tmp_path: Path) -> None:
    done = checked(COMPOSE)
    assert done.returncode == 0, done.stdout
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(COMPOSE.read_text().replace("read_only:", "readonly:"))
    assert checked(wrong).returncode == 1


def test_each_profile_starts_what_it_needs() -> None:
    milvus = {"etcd", "minio", "milvus"}
    assert set(services("cpu")) == milvus | {"nestvec"}
    assert set(services("gpu")) == milvus | {"nestvec-triton", "triton"}
    assert set(services("monitoring")) == milvus | {"prometheus", "grafana"}


def test_images_are_pinned_to_a_version_and_a_digest() -> None:
    images = [one["image"] for one in services().values()]
    images += re.findall(r"^ARG PYTHON_IMAGE=(\S+)", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)
    assert "python:" in images[-1]
    for image in images:
        assert re.search(r":[A-Za-z.]*\d+\.\d+|:RELEASE\.\d{4}", image), image
        assert image.startswith("nestvec:") or re.search(r"@sha256:[0-9a-f]{64}$", image), image
    assert f"nestvec:{__version__}-cpu" in images
    assert any(image.startswith(f"nvcr.io/nvidia/tritonserver:{RELEASE}-py3@") for image in images)
    bases = re.findall(r"^FROM (\S+)", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)
    assert bases == ["${PYTHON_IMAGE}"] * 3


@pytest.mark.parametrize("service", sorted(OURS))
def test_what_is_ours_may_little_and_is_not_root(service: str) -> None:
    one = services()[service]
    assert one["read_only"]
    assert one["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in one["security_opt"]
    assert int(one["user"].partition(":")[0]) > 0
    if "nestvec" in service or service == "triton":
        assert any(volume.endswith(":/models:ro") for volume in one["volumes"])


@pytest.mark.parametrize("profile", PROFILES)
def test_ports_are_this_machines_and_what_is_waited_for_has_a_health_check(profile: str) -> None:
    whole = services(profile)
    for one in whole.values():
        assert all(port.startswith("127.0.0.1:") for port in one.get("ports", []))
        for other, how in one.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert "healthcheck" in whole[other]


def test_files_that_are_mounted_exist_and_volumes_are_declared() -> None:
    declared = set(yaml.safe_load(COMPOSE.read_text())["volumes"])
    for name, one in services().items():
        for volume in one.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (DOCKER / source).is_file(), (name, source)
            elif not source.startswith("$"):
                assert source in declared, (name, source)


def test_what_is_scraped_is_in_the_network() -> None:
    config = yaml.safe_load((DOCKER / "monitoring" / "prometheus.yaml").read_text())
    mounted = {volume.split(":")[1] for volume in services()["prometheus"]["volumes"]}
    assert {f"/etc/prometheus/{name}" for name in config["rule_files"]} <= mounted
    hosts = {
        target.partition(":")[0]
        for job in config["scrape_configs"]
        for target in job["static_configs"][0]["targets"]
    }
    assert hosts == {"nestvec", "triton", "milvus"}
    assert services()["nestvec-triton"]["networks"]["default"]["aliases"] == ["nestvec"]


@pytest.mark.parametrize(("service", "engine"), [("nestvec", "auto"), ("nestvec-triton", "triton")])
def test_the_services_command_line_is_one_that_it_takes(service: str, engine: str) -> None:
    command, *arguments = services()[service]["command"]
    with cli.make_context("nestvec", [command]) as context:
        found = cli.get_command(context, command)
        assert found is not None
        asked = found.make_context(command, arguments).params
    assert asked["host"] == "0.0.0.0"
    assert asked["allowed_host"] == ("nestvec",), (
        "the name that Milvus calls in the network of the containers"
    )
    assert asked["engine"] == engine
    assert asked["triton_url"] in ("triton:8001", "127.0.0.1:8001")


def locked(name: str) -> dict[str, str]:
    """The packages of an image, by name, with their versions; each must have a hash."""
    packages = {}
    for entry in re.split(r"\n(?=[a-zA-Z0-9])", LOCK.requirements(name).read_text()):
        if match := re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]+\])?==([^\s;]+)", entry):
            assert "--hash=sha256:" in entry, match[1]
            packages[canonicalize_name(match[1])] = match[2]
    return packages


def required(extras: Iterable[str]) -> Iterator[Requirement]:
    """What the project and some of its extras require, themselves extras of extras."""
    for text in PYPROJECT["dependencies"]:
        yield Requirement(text)
    for extra in extras:
        for text in PYPROJECT["optional-dependencies"][extra]:
            requirement = Requirement(text)
            if requirement.name == "nestvec":
                yield from required(requirement.extras)
            else:
                yield requirement


@pytest.mark.parametrize("image", sorted(LOCK.EXTRAS))
def test_the_lock_has_every_package_that_the_images_extras_require(image: str) -> None:
    packages = locked(image)
    for requirement in required(LOCK.EXTRAS[image]):
        version = packages.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement}: run make lock"
        assert requirement.specifier.contains(version, prereleases=True), f"{requirement}: run make lock"


def test_options_of_the_service_find_their_extras_in_the_images() -> None:
    """An error of the service that says what to install would be of no use inside an image."""
    source = DOCKER.parent / "plugin" / "nestvec"
    files = [*source.glob("service/**/*.py"), *source.glob("engines/**/*.py"), *source.glob("images/**/*.py")]
    wanted = {
        extra
        for file in files
        for names in re.findall(r"nestvec\[([a-z0-9,-]+)\]", file.read_text())
        for extra in names.split(",")
    }
    assert {"tracing", "s3", "openvino"} <= wanted
    everywhere = set(LOCK.EXTRAS["cpu"]) & set(LOCK.EXTRAS["gpu"])
    assert {"tracing", "s3", "triton"} <= everywhere
    # ONNX Runtime's own packages are either for the CPU or for GPUs; TensorRT-RTX needs a third.
    assert wanted - everywhere <= {"openvino", "cpu", "gpu", "tensorrt-rtx"}
    assert "openvino" in LOCK.EXTRAS["cpu"]
    assert "gpu" in LOCK.EXTRAS["gpu"]


def test_pip_installs_nothing_but_the_lock_and_the_wheel() -> None:
    installs = re.findall(r"pip install ([^&\n]+)", (DOCKER / "Dockerfile").read_text().replace("\\\n", ""))
    assert len(installs) == 5
    for options in installs:
        assert "--require-hashes" in options or "--no-deps --no-index" in options


def test_triton_has_a_gpu() -> None:
    (device,) = services()["triton"]["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])


def test_the_images_run_as_a_user_with_a_health_check() -> None:
    stages = (DOCKER / "Dockerfile").read_text().split("\nFROM ")[1:]
    names = [stage.splitlines()[0].rpartition(" ")[2] for stage in stages]
    assert names[-2:] == ["cpu", "gpu"]
    for stage in stages[-2:]:
        assert "\nUSER 10001:10001\n" in stage
        assert "\nHEALTHCHECK " in stage
        assert f"requirements-{stage.splitlines()[0].rpartition(' ')[2]}.txt" in stage


def test_what_is_copied_into_the_image_exists_and_is_not_ignored() -> None:
    text = (DOCKER / "Dockerfile").read_text()
    copied = [
        word for line in re.findall(r"^COPY (?!--)(.+) \S+$", text, re.MULTILINE) for word in line.split()
    ]
    kept = re.findall(r"^!(\S+)", (DOCKER / "Dockerfile.dockerignore").read_text(), re.MULTILINE)
    assert len(copied) == 9
    for path in (*copied, *kept):
        assert list(DOCKER.parent.glob(path)), path
    assert {path.partition("/")[0] for path in kept} == {path.partition("/")[0] for path in copied}
