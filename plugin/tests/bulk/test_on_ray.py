"""How Ray is started, by a stand-in for it."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from nestvec.bulk.on_ray import (
    _OWN_RAY,
    RayOptions,
    _connect,
    _quiet_messages,
    cluster,
    patient_start,
    pool_size,
)
from nestvec_schemas.errors import IngestError


class FakeRay:
    """Fails the first starts; its nodes are those that are listed."""

    def __init__(self, failures: int = 0, nodes: tuple[dict[str, float], ...] = ()) -> None:
        self.failures, self._nodes = failures, nodes
        self.started: list[dict[str, Any]] = []
        self.stopped = 0

    def init(self, **options: Any) -> None:
        self.started.append(options)
        if len(self.started) <= self.failures:
            raise Exception("The current node timed out during startup.")

    def shutdown(self) -> None:
        self.stopped += 1

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": resources} for resources in self._nodes]


def test_a_ray_of_this_machine_is_on_loopback_and_is_no_other_cluster() -> None:
    ray = FakeRay(failures=2)
    _connect(ray, RayOptions())
    assert (len(ray.started), ray.stopped) == (3, 2)
    options = ray.started[-1]
    assert (options["address"], options["include_dashboard"]) == ("local", False)
    assert options["dashboard_host"] == options["_node_ip_address"] == "127.0.0.1"


def test_a_ray_that_never_starts_is_an_error() -> None:
    with pytest.raises(IngestError, match="does not start on this machine: The current node timed out"):
        _connect(FakeRay(failures=99), RayOptions())


@pytest.mark.parametrize("address", ["127.0.0.1:{}", "ray://127.0.0.1:{}", "auto"])
def test_ray_is_not_tried_where_nothing_listens(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as vacant:
        vacant.bind(("127.0.0.1", 0))
        port = vacant.getsockname()[1]
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
        ray = FakeRay()
        with pytest.raises(IngestError, match=r"cannot be reached: .*refused.*--ray local"):
            _connect(ray, RayOptions(address.format(port)))
        assert not ray.started
        vacant.listen()
        _connect(ray, RayOptions(address.format(port)))
        assert len(ray.started) == 1


@pytest.mark.parametrize("address", ["auto", "nonsense"])
def test_a_cluster_that_ray_does_not_find_is_an_error_at_once(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    ray = FakeRay(failures=99)
    with pytest.raises(IngestError, match=f"cannot be reached: {address} .The current node timed out"):
        _connect(ray, RayOptions(address))
    assert len(ray.started) == 1


def test_local_is_a_ray_of_this_machine() -> None:
    ray = FakeRay()
    _connect(ray, RayOptions("local"))
    assert ray.started[0]["_node_ip_address"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("nodes", "options", "expected"),
    [
        (({"CPU": 2.0},), RayOptions(), (2.0, 1)),
        (({"CPU": 16.0}, {"CPU": 8.0}), RayOptions(), (4.0, 6)),
        (({"CPU": 1.0},) * 4, RayOptions(), (1.0, 4)),
        (({"CPU": 16.0},), RayOptions(workers=2), (4.0, 2)),
        (({"CPU": 16.0, "GPU": 2.0}, {"CPU": 16.0}), RayOptions(gpus=1), (4.0, 2)),
        (({"CPU": 16.0},), RayOptions(cpus=0.5), (0.5, 9)),
    ],
)
def test_the_pool_is_what_the_nodes_carry(
    nodes: tuple[dict[str, float], ...], options: RayOptions, expected: tuple[float, int]
) -> None:
    assert pool_size(FakeRay(nodes=nodes), options, tasks=9) == expected


@pytest.mark.parametrize(
    ("nodes", "options", "tasks", "expected"),
    [
        (({"CPU": 2.0},), RayOptions(), 9, (1.0, 2)),
        (({"CPU": 3.0},), RayOptions(), 9, (1.0, 3)),
        (({"CPU": 4.0},), RayOptions(), 9, (2.0, 2)),
        (({"CPU": 16.0}, {"CPU": 8.0}), RayOptions(), 9, (4.0, 6)),
        (({"CPU": 0.5},), RayOptions(), 9, (0.5, 1)),
        (({"CPU": 2.0},), RayOptions(cpus=2), 9, (2.0, 1)),
        # Nobody else has the CPUs of a worker that is alone.
        (({"CPU": 2.0},), RayOptions(), 1, (2.0, 1)),
        (({"CPU": 2.0},), RayOptions(workers=1), 9, (2.0, 1)),
        (({"CPU": 2.0, "GPU": 1.0},), RayOptions(gpus=1), 9, (2.0, 1)),
    ],
)
def test_a_node_may_carry_two_workers(
    nodes: tuple[dict[str, float], ...], options: RayOptions, tasks: int, expected: tuple[float, int]
) -> None:
    assert pool_size(FakeRay(nodes=nodes), options, tasks, on_node=2) == expected


def test_a_worker_that_no_node_carries_is_an_error() -> None:
    with pytest.raises(IngestError, match="no node of the Ray cluster has what a worker needs"):
        pool_size(FakeRay(nodes=({"CPU": 2.0},)), RayOptions(gpus=1), tasks=9)


class FakeNode:
    """A node of Ray that is registered at the third question; ``dead`` are its daemons that ended."""

    dead: ClassVar[list[tuple[str, object]]] = []

    def __init__(self) -> None:
        self._ray_params, self._session_dir, self._node_id = SimpleNamespace(), "session", "node"
        self.gcs_address, self.questions, self.has_started = "gcs", 0, False
        self.has_dashboard = False
        self.start_processes: Callable[[], None] = lambda: None

    def start_gcs_server(self) -> None:
        pass

    def start_api_server(self, **options: object) -> None:
        self.has_dashboard = True

    def start_ray_processes(self) -> None:
        self.has_started = True
        self.start_processes()

    def dead_processes(self) -> list[tuple[str, object]]:
        return self.dead


@pytest.fixture
def starting(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What of Ray's inside is used, with the ports that agents are said to have chosen."""
    monkeypatch.setattr("nestvec.bulk.on_ray._POLL_SECONDS", 0)
    ports: dict[str, int] = {}
    node = FakeNode()

    def get_node(address: str, number: str) -> object:
        node.questions += 1
        if node.questions < 3:
            raise RuntimeError(f"no node {number} at {address}")
        return {}

    def wait_for_port(folder: str, number: str, name: str, *, timeout_ms: int) -> int:
        node.questions += 1
        if node.questions < 3:
            raise RuntimeError(f"no {name} after {timeout_ms} ms")
        return 6379

    return SimpleNamespace(
        _raylet=SimpleNamespace(persist_port=lambda folder, number, name, port: ports.update({name: port})),
        _private=SimpleNamespace(
            node=SimpleNamespace(Node=FakeNode, wait_for_persisted_port=wait_for_port),
            services=SimpleNamespace(get_node=get_node),
        ),
        node=node,
        ports=ports,
    )


def test_a_start_waits_for_the_node_and_for_no_agent(starting: SimpleNamespace) -> None:
    before = FakeNode.start_ray_processes
    with patient_start(starting):
        starting.node.start_ray_processes()
    assert FakeNode.start_ray_processes is before
    assert (starting.node.has_started, starting.node.questions) == (True, 3)
    assert len(set(starting.ports.values())) == 4
    assert vars(starting.node._ray_params) == starting.ports


def test_a_start_that_is_lean_omits_daemons(starting: SimpleNamespace) -> None:
    with patient_start(starting, lean=True):
        starting.node.start_gcs_server()
        starting.node.start_ray_processes()
    omitted = {"no_monitor": True, "include_log_monitor": False}
    assert vars(starting.node._ray_params) == {**omitted, **starting.ports}
    starting.node.start_api_server(include_dashboard=False)
    assert not starting.node.has_dashboard


@pytest.mark.parametrize("lean", [True, False])
def test_a_start_that_is_lean_has_idle_agents(starting: SimpleNamespace, lean: bool) -> None:
    services, commands = starting._private.services, []
    services.start_ray_process = start = lambda command, kind: commands.append((command, kind))
    own = ["raylet", "--head", "--dashboard_agent_command=a b", "--runtime_env_agent_command=c"]
    starting.node.start_processes = lambda: services.start_ray_process(own, "raylet")
    with patient_start(starting, lean=lean):
        starting.node.start_ray_processes()
    assert services.start_ray_process is start
    ((command, kind),) = commands
    assert (command[:2], kind) == (["raylet", "--head"], "raylet")
    if not lean:
        assert command == own
        return
    (first, idle), (second, same) = (word.split("=", 1) for word in command[2:])
    assert (f"{first}=a b", f"{second}=c", idle) == (*own[2:], same)
    # A raylet that is killed leaves none behind, not even of those that have only been started.
    start_agent = f"subprocess.Popen({shlex.split(idle)!r}, env={{'RAY_RAYLET_PID': str(os.getpid())}})"
    raylet = subprocess.Popen(
        [sys.executable, "-c", f"import os, subprocess; print({start_agent}.pid, flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with raylet:
        assert raylet.stdout is not None
        pid = int(raylet.stdout.readline())
        assert not has_ended(pid)
        raylet.kill()
    deadline = time.monotonic() + 60
    while not has_ended(pid):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or only its parent has not taken note of its end."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_start_ends_with_a_daemon(starting: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeNode, "dead", [("raylet", object())])
    with patient_start(starting), pytest.raises(RuntimeError, match="it ended: raylet"):
        starting.node.start_ray_processes()
    assert starting.node.questions == 0


def test_a_ray_that_was_imported_before_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False))
    for name in _OWN_RAY:
        monkeypatch.delenv(name, raising=False)
    with (
        pytest.raises(IngestError, match=r"imported before nestvec.*ray\.init\(\)"),
        cluster(RayOptions()),
    ):
        pass


def test_a_ray_that_is_in_use_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    used = SimpleNamespace(is_initialized=lambda: True)
    monkeypatch.setitem(sys.modules, "ray", used)
    before = dict(os.environ)
    with cluster(RayOptions()) as ray:
        assert ray is used
    assert {name for name in os.environ if name.startswith("RAY_AUTH")} <= before.keys()


def test_a_start_ends_with_a_gcs_that_never_says_its_port(
    starting: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = starting._private.node
    before = module.wait_for_persisted_port
    with patient_start(starting):
        assert module.wait_for_persisted_port("s", "n", "gcs", timeout_ms=600_000) == 6379
        starting.node.questions = 0
        starting.node.start_gcs_server()
        monkeypatch.setattr(FakeNode, "dead", [("gcs_server", object())])
        with pytest.raises(RuntimeError, match="it ended: gcs_server"):
            module.wait_for_persisted_port("s", "n", "gcs", timeout_ms=600_000)
        monkeypatch.setattr(FakeNode, "dead", [])
        starting.node.questions = 0
        with pytest.raises(RuntimeError, match="no gcs after"):
            module.wait_for_persisted_port("s", "n", "gcs", timeout_ms=0)
    assert module.wait_for_persisted_port is before


def test_ray_prints_nothing_of_lost_workers_into_the_report_of_a_command() -> None:
    worker = SimpleNamespace(_worker_logs_enabled=True)
    ray = SimpleNamespace(_private=SimpleNamespace(worker=worker))
    with pytest.raises(KeyboardInterrupt), _quiet_messages(ray):
        assert not worker._worker_logs_enabled
        raise KeyboardInterrupt
    assert worker._worker_logs_enabled
    with _quiet_messages(FakeRay()):
        pass
