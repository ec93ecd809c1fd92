"""Ray for a job: a cluster that is there, or a Ray of this machine for as long as the job runs."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from nestvec_schemas.errors import IngestError

_LOCAL_STORE_BYTES: Final = 128 << 20
"""Memory for Ray's objects on this machine: only tasks and records pass through it."""

_AGENT_PORTS: Final = (
    "metrics_agent_port",
    "metrics_export_port",
    "dashboard_agent_listen_port",
    "runtime_env_agent_port",
)
"""Of Ray's parameters of a node, and of the files by which its agents tell it their ports."""

_AGENT_COMMANDS: Final = ("--dashboard_agent_command", "--runtime_env_agent_command")
"""Options of a raylet that have the commands of its agents."""

_IDLE_AGENT: Final = (
    "import os,sys,time;raylet=os.environ.get(sys.argv[1],str(os.getppid()));"
    "all(time.sleep(1) is None for _ in iter(lambda:str(os.getppid())==raylet,False))"
)
"""What runs instead of an agent, a line without quotes: it ends with the raylet."""

_RAYLET_PID: Final = "RAY_RAYLET_PID"
"""The variable by which a raylet tells its agents its own process."""

_LOOPBACK: Final = "127.0.0.1"
_POLL_SECONDS: Final = 0.2
_PORT_POLL_MS: Final = 1_000

_CONNECT_SECONDS: Final = 10
"""How long a cluster may take to accept a connection."""

_STARTS: Final = 4
"""Attempts at starting a Ray of this machine."""

_WORKER_CPUS: Final = 4.0
"""Of a worker, at most, if they are not chosen."""

_START_SECONDS: Final = 600
"""How long the daemons of a Ray of this machine may take to start. Ray's own limits, of 15 s to 60 s, are for
machines that do nothing else."""

_OWN_RAY: Final = {
    "RAY_gcs_server_port_wait_time_s": str(_START_SECONDS),
    "RAY_agent_register_timeout_ms": str(_START_SECONDS * 1000),
    "RAY_py_gcs_connect_timeout_s": str(_START_SECONDS),
    "RAY_gcs_rpc_server_connect_timeout_s": str(_START_SECONDS),
    "RAY_worker_register_timeout_seconds": "180",
    # Of 3 s each: the death of the daemons of one machine shows without them.
    "RAY_health_check_failure_threshold": "100",
    # Otherwise it listens on all interfaces, even if told 127.0.0.1, except on Windows and macOS.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # Otherwise served to callers without the token, too.
    "RAY_enable_metrics_collection": "0",
    # Of Arrow, whose own gives memory back after each file and each window.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
"""Settings for a Ray of this machine, which its daemons and its workers inherit."""


@dataclass(frozen=True)
class RayOptions:
    """Where the tasks run."""

    address: str | None = None
    """``auto`` or the address of a cluster; None or ``local`` for a Ray of this machine, which ends with the
    job."""

    workers: int = 0
    """0 for as many as the cluster's CPUs or GPUs carry."""

    cpus: float = 0
    """CPUs of each worker; 0 for up to four, see ``pool_size``."""

    gpus: float = 0
    """GPUs of each worker."""

    dashboard: bool = False
    """Whether a Ray of this machine serves its dashboard, on loopback."""

    @property
    def cluster(self) -> str | None:
        """The address of a cluster; None for a Ray of this machine."""
        return None if self.address == "local" else self.address


@contextmanager
def cluster(options: RayOptions) -> Iterator[Any]:
    """Ray, connected: one that is in use already stays as it is.

    Raises IngestError, also where ray was imported before without being in use: it read its settings then.
    """
    # Before the import, which reads it.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    loaded = sys.modules.get("ray")
    in_use = loaded is not None and loaded.is_initialized()
    if options.cluster is None and not in_use:
        if loaded is not None and not _OWN_RAY.keys() <= os.environ.keys():
            # It has read its settings: its daemons would have a token that this process does not send.
            raise IngestError(
                "ray was imported before nestvec, which could not start a Ray of its own safely",
                value="ray",
                next_step="Call ray.init() before, whose Ray nestvec uses then; or run nestvec in a process "
                "that does not import ray.",
            )
        os.environ |= {name: value for name, value in _OWN_RAY.items() if name not in os.environ}
        if "RAY_AUTH_MODE" not in os.environ:
            # Every user of the machine reaches loopback, and could have Ray run code. Workers inherit these.
            os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    try:
        import ray  # noqa: PLC0415 - an optional package, and slow to import
    except ImportError as error:
        raise IngestError(
            "embedding on Ray needs a package that is not installed",
            value="ray",
            next_step="Install it: pip install 'nestvec[ray]'.",
        ) from error
    with ExitStack() as stack:
        if not ray.is_initialized():
            stack.enter_context(_quiet_messages(ray))
            _connect(ray, options)
            stack.callback(ray.shutdown)
        yield ray


@contextmanager
def _quiet_messages(ray: Any) -> Iterator[None]:
    """Keep what Ray says of workers that ended out of the standard output, where a command's report goes."""
    module = getattr(getattr(ray, "_private", None), "worker", None)
    enabled = getattr(module, "_worker_logs_enabled", None)
    if module is None or enabled is None:
        yield
        return
    module._worker_logs_enabled = False
    try:
        yield
    finally:
        module._worker_logs_enabled = enabled


def _connect(ray: Any, options: RayOptions) -> None:
    """Start a Ray of this machine, or join the cluster at the address. Raises IngestError."""
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    if options.cluster is not None:
        try:
            _check_listening(options.cluster)
            ray.init(address=options.cluster, **quiet)
        # What it raises depends on how the address is wrong.
        except Exception as error:
            raise IngestError(
                "the Ray cluster cannot be reached",
                value=f"{options.cluster} ({str(error)[:200]})",
                next_step="Check --ray, and that the cluster has this machine's version of ray; --ray local "
                "is a Ray of this machine.",
            ) from error
        return
    for attempt in range(1, _STARTS + 1):
        try:
            with patient_start(ray, lean=not options.dashboard):
                ray.init(
                    # Otherwise it joins a cluster that runs on this machine, or that of RAY_ADDRESS.
                    address="local",
                    include_dashboard=options.dashboard,
                    dashboard_host=_LOOPBACK,
                    object_store_memory=_LOCAL_STORE_BYTES,
                    _node_ip_address=_LOOPBACK,
                    **quiet,
                )
            return
        # What it raises depends on which of its daemons failed.
        except Exception as error:
            _end_daemons(error)
            ray.shutdown()
            if attempt == _STARTS:
                raise IngestError(
                    "Ray does not start on this machine",
                    value=str(error)[:300],
                    next_step="Run the command again when the machine is less busy: it continues.",
                ) from error


def _check_listening(address: str) -> None:
    """Raise OSError if nothing listens at an address, where Ray itself would try for minutes."""
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", "")
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()


@contextmanager
def patient_start(ray: Any, *, lean: bool = False) -> Iterator[None]:
    """Lift the limits of Ray that are no settings: 15 s for its agents and 30 s for its raylet to start; and
    end a start at once of which a daemon ended.

    ``lean`` omits daemons that a Ray of this machine has no use for: one that adds nodes to clusters, one
    that shows what workers print, the dashboard's server, which Ray starts without a dashboard, too, and the
    two agents of a node, which serve the dashboard and set up environments that workers are to have.
    """
    private = getattr(ray, "_private", None)
    node_class = getattr(getattr(private, "node", None), "Node", None)
    start = getattr(node_class, "start_ray_processes", None)
    if private is None or node_class is None or start is None:
        yield
        return

    def start_and_wait(node: Any) -> None:
        if lean:
            node._ray_params.include_log_monitor = False
            stack.enter_context(_idle_agents(private.services))
        # The raylet waits 15 s for the files in which its agents say which ports they chose.
        for name, port in zip(_AGENT_PORTS, _vacant_ports(len(_AGENT_PORTS)), strict=True):
            setattr(node._ray_params, name, port)
            ray._raylet.persist_port(node._session_dir, node._node_id, name, port)
        start(node)
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            _check_alive(node)
            # What it raises is not documented; at the deadline Ray asks again, and says what is wrong.
            with suppress(Exception):
                private.services.get_node(node.gcs_address, node._node_id)
                return
            time.sleep(_POLL_SECONDS)

    node_class.start_ray_processes = start_and_wait
    try:
        with ExitStack() as stack, _watched_port(private.node, lean=lean):
            yield
    finally:
        node_class.start_ray_processes = start


@contextmanager
def _idle_agents(services: Any) -> Iterator[None]:
    """Have raylets start processes that only wait for their end instead of agents, without which they do not
    start: each agent imports Ray, which takes a second of a CPU while the workers start."""
    start = getattr(services, "start_ray_process", None)
    # On Windows, a raylet does not tell its agents its process.
    if start is None or sys.platform == "win32":
        yield
        return
    idle = subprocess.list2cmdline([sys.executable, "-I", "-S", "-c", _IDLE_AGENT, _RAYLET_PID])

    def start_process(command: list[str], *arguments: Any, **options: Any) -> Any:
        names = [word.partition("=")[0] for word in command]
        words = [
            f"{name}={idle}" if name in _AGENT_COMMANDS else word
            for name, word in zip(names, command, strict=True)
        ]
        return start(words, *arguments, **options)

    services.start_ray_process = start_process
    try:
        yield
    finally:
        services.start_ray_process = start


@contextmanager
def _watched_port(module: Any, *, lean: bool) -> Iterator[None]:
    """Have Ray notice that its GCS ended while it waits for the port of it; and see ``patient_start``."""
    start, wait = module.Node.start_gcs_server, module.wait_for_persisted_port
    starting: list[Any] = []

    def start_gcs(node: Any) -> None:
        starting.append(node)
        if lean:
            node._ray_params.no_monitor = True
            node._webui_url, node.start_api_server = "", lambda **options: None
        start(node)

    def wait_alive(folder: str, number: str, name: str, *, timeout_ms: int) -> int:
        deadline = time.monotonic() + timeout_ms / 1000
        while True:
            try:
                port: int = wait(folder, number, name, timeout_ms=_PORT_POLL_MS)
                return port
            # What it raises is not documented.
            except Exception:
                if time.monotonic() >= deadline:
                    raise
            for node in starting:
                _check_alive(node)

    module.Node.start_gcs_server, module.wait_for_persisted_port = start_gcs, wait_alive
    try:
        yield
    finally:
        module.Node.start_gcs_server, module.wait_for_persisted_port = start, wait


def _check_alive(node: Any) -> None:
    """Raise RuntimeError if a daemon of a node ended."""
    if ended := [name for name, _ in node.dead_processes()]:
        raise RuntimeError(f"it ended: {', '.join(ended)}")


def _vacant_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((_LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]


def _end_daemons(error: BaseException) -> None:
    """End the daemons of a Ray that did not start: only the object whose constructor failed has them."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        end = getattr(frame.f_locals.get("self"), "kill_all_processes", None)
        if end is not None:
            with suppress(Exception):
                end(check_alive=False, allow_graceful=False)


def pool_size(ray: Any, options: RayOptions, tasks: int, *, on_node: int = 1) -> tuple[float, int]:
    """CPUs of a worker, and the number of workers. Raises IngestError if no node carries one.

    If they are not chosen, a worker has four CPUs, or as many as ``on_node`` of them have on the largest
    node; and if there is to be one worker, all CPUs of a node that has fewer than four.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    largest = max((node.get("CPU", 0.0) for node in nodes), default=0.0)
    share = largest if options.gpus or min(options.workers or tasks, tasks) == 1 else largest // on_node
    cpus = options.cpus or min(_WORKER_CPUS, max(share, min(1.0, largest)))
    fitting = [
        min(
            node.get("CPU", 0.0) / cpus,
            node.get("GPU", 0.0) / options.gpus if options.gpus else float("inf"),
        )
        if cpus
        else 0.0
        for node in nodes
    ]
    room = sum(int(count + 1e-6) for count in fitting)
    if not room:
        raise IngestError(
            "no node of the Ray cluster has what a worker needs",
            value=f"{cpus:g} CPUs, {options.gpus:g} GPUs; the largest node has {largest:g} CPUs",
            next_step="Add a node that has them, or choose fewer with --worker-cpus and --worker-gpus.",
        )
    return cpus, max(1, min(options.workers or room, tasks))
