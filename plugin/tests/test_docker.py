"""The images and compose files, as far as they can be checked without an engine that runs them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from nestvec import __version__
from nestvec.cli import cli
from nestvec_exporters.graph.tensorrt import RELEASE

DOCKER = Path(__file__).parents[2] / "docker"
FILES = ("compose.yaml", "compose.cpu.yaml", "milvus.yaml")


def services(name: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load((DOCKER / name).read_text())["services"]
    return found


def both(name: str) -> dict[str, dict[str, Any]]:
    """A compose file with what it includes."""
    return services("milvus.yaml") | services(name)


def checked(*paths: Path) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    return subprocess.run([*program, *map(str, paths)], capture_output=True, text=True, check=False)


def test_the_files_follow_the_compose_specification(tmp_path: Path) -> None:
    done = checked(*(DOCKER / name for name in FILES))
    assert done.returncode == 0, done.stdout
    wrong = tmp_path / "compose.yaml"
    wrong.write_text((DOCKER / "compose.yaml").read_text().replace("read_only:", "readonly:"))
    assert checked(wrong).returncode == 1


def test_what_is_included_is_there() -> None:
    for name in ("compose.yaml", "compose.cpu.yaml"):
        assert yaml.safe_load((DOCKER / name).read_text())["include"] == ["milvus.yaml"]
    assert set(both("compose.yaml")) == {"etcd", "minio", "milvus", "triton", "nestvec"}
    assert set(both("compose.cpu.yaml")) == {"etcd", "minio", "milvus", "nestvec"}


def test_images_are_pinned_to_a_version() -> None:
    images = [one["image"] for name in FILES for one in services(name).values()]
    images += re.findall(r"^FROM (\S+)", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)
    for image in images:
        assert re.search(r":[A-Za-z.]*\d+\.\d+|:RELEASE\.\d{4}", image), image
    assert f"nestvec:{__version__}-cpu" in images
    assert f"nvcr.io/nvidia/tritonserver:{RELEASE}-py3" in images


@pytest.mark.parametrize("name", ["compose.yaml", "compose.cpu.yaml"])
def test_what_is_ours_may_little_and_is_not_root(name: str) -> None:
    for service, one in services(name).items():
        assert one["read_only"], service
        assert one["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in one["security_opt"]
        assert int(one["user"].partition(":")[0]) > 0
        assert any(volume.endswith(":/models:ro") for volume in one["volumes"])


@pytest.mark.parametrize("name", ["compose.yaml", "compose.cpu.yaml"])
def test_ports_are_this_machines_and_what_is_waited_for_has_a_health_check(name: str) -> None:
    whole = both(name)
    for one in whole.values():
        assert all(port.startswith("127.0.0.1:") for port in one.get("ports", []))
        for other, how in one.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert "healthcheck" in whole[other]


@pytest.mark.parametrize("name", ["compose.yaml", "compose.cpu.yaml"])
def test_the_services_command_line_is_one_that_it_takes(name: str) -> None:
    command, *arguments = services(name)["nestvec"]["command"]
    with cli.make_context("nestvec", [command]) as context:
        found = cli.get_command(context, command)
        assert found is not None
        asked = found.make_context(command, arguments).params
    assert asked["host"] == "0.0.0.0"
    assert asked["allowed_host"] == ("nestvec",), (
        "the name that Milvus calls in the network of the containers"
    )
    assert asked["engine"] == ("triton" if name == "compose.yaml" else "auto")
    assert asked["triton_url"] in ("triton:8001", "127.0.0.1:8001")


def test_triton_has_a_gpu() -> None:
    (device,) = services("compose.yaml")["triton"]["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])


def test_the_images_run_as_a_user_with_a_health_check() -> None:
    stages = (DOCKER / "Dockerfile").read_text().split("\nFROM ")[1:]
    names = [stage.splitlines()[0].rpartition(" ")[2] for stage in stages]
    assert names[-2:] == ["cpu", "gpu"]
    for stage in stages[-2:]:
        assert "\nUSER 10001:10001\n" in stage
        assert "\nHEALTHCHECK " in stage
        assert re.search(r"\[(openvino|gpu),triton\]", stage)


def test_what_is_copied_into_the_image_exists_and_is_not_ignored() -> None:
    text = (DOCKER / "Dockerfile").read_text()
    copied = [
        word for line in re.findall(r"^COPY (?!--)(.+) \S+$", text, re.MULTILINE) for word in line.split()
    ]
    kept = re.findall(r"^!(\S+)", (DOCKER / "Dockerfile.dockerignore").read_text(), re.MULTILINE)
    assert len(copied) == 6
    for path in (*copied, *kept):
        assert (DOCKER.parent / path).exists(), path
    assert {path.partition("/")[0] for path in kept} == set(copied)
