"""Files on this machine, in S3-compatible stores and in Google Cloud Storage, by one address each."""

from __future__ import annotations

import errno
import hashlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa
from platformdirs import user_state_path
from pyarrow import fs

from nestvec_schemas.errors import FileUnreadable, IngestError, StoreInUse

_REMOTE: Final = ("s3", "gs", "gcs")
_CHUNK_BYTES: Final = 8 << 20
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)


def is_remote(address: str) -> bool:
    """Whether an address is that of a store, ``s3://`` or ``gs://``."""
    return urlsplit(address).scheme in _REMOTE


def check_scheme(address: str) -> None:
    """Raise FileUnreadable for the address of a store that is not supported."""
    scheme, separator, _ = address.partition("://")
    if separator and scheme.isalnum() and scheme not in _REMOTE:
        raise FileUnreadable(
            f"{scheme}:// is no store that can be read and written",
            value=address,
            next_step="Name a path of this machine, s3://BUCKET/FOLDER or gs://BUCKET/FOLDER.",
        )


def is_within(address: str, folder: str) -> bool:
    """Whether an address is that of a folder or of something in it."""
    if is_remote(address) or is_remote(folder):
        return f"{address.rstrip('/')}/".startswith(f"{folder.rstrip('/')}/")
    return Path(folder).is_dir() and Path(address).resolve().is_relative_to(Path(folder).resolve())


def open_store(address: str) -> tuple[Any, str]:
    """The file system of a store's address, and the path in it: ``bucket/key``.

    Credentials are those of the environment; an S3-compatible store is named by AWS_ENDPOINT_URL.
    """
    store, path = fs.FileSystem.from_uri(address.replace("gcs://", "gs://", 1))
    return store, path.rstrip("/")


def store_url(address: str) -> str:
    """An address as packages of tables take it, with ``storage_options``."""
    return address.partition("?")[0].replace("gcs://", "gs://", 1) if is_remote(address) else address


def storage_options(address: str) -> dict[str, str]:
    """What packages of tables are told of the store of an address, whose credentials are those of the
    environment."""
    if urlsplit(address).scheme != "s3":
        return {}
    query = dict(parse_qsl(urlsplit(address).query))
    endpoint = query.get("endpoint_override", "")
    if endpoint and "://" not in endpoint:
        endpoint = f"{query.get('scheme', 'https')}://{endpoint}"
    endpoint = endpoint or os.environ.get("AWS_ENDPOINT_URL", "")
    options = {"AWS_ENDPOINT_URL": endpoint, "AWS_REGION": query.get("region", "")}
    # pyarrow takes an endpoint without TLS, as that of a store on this machine, without being told.
    options["AWS_ALLOW_HTTP"] = "true" if endpoint.startswith("http://") else ""
    return {name: value for name, value in options.items() if value}


@contextmanager
def store_errors(address: str) -> Iterator[None]:
    """Turn what a store raises into FileUnreadable."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        if getattr(error, "errno", None) in _NO_ROOM:
            raise _no_room(
                tempfile.gettempdir(), "Free space there, or set TMPDIR to another folder"
            ) from error
        raise FileUnreadable(
            "the store cannot be used",
            value=f"{urlsplit(address)._replace(query='').geturl()}: {str(error)[:300]}",
            next_step="Check the address, the credentials (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, "
            "AWS_ENDPOINT_URL, or Google's) and the rights.",
        ) from error


class LocalCopies:
    """Local copies of remote files for readers that take a path; one file is kept at a time."""

    def __init__(self, parent: str = "") -> None:
        """``parent`` is the folder for them; that of temporary files if it is absent."""
        self._parent = parent
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._address, self._path = "", Path()

    def path(self, address: str) -> Path:
        """A path of the file's content. Raises FileUnreadable."""
        if not is_remote(address):
            return Path(address)
        if address != self._address:
            self._path.unlink(missing_ok=True) if self._address else None
            with store_errors(address):
                if self._folder is None:
                    parent = self._parent if Path(self._parent).is_dir() else ""
                    self._folder = tempfile.TemporaryDirectory(prefix="nestvec-bulk-", dir=parent or None)
                path = Path(self._folder.name, Path(urlsplit(address).path).name)
                store, key = open_store(address)
                with store.open_input_stream(key, compression=None) as source, path.open("wb") as target:
                    while chunk := source.read(_CHUNK_BYTES):
                        target.write(chunk)
            self._address, self._path = address, path
        return self._path


class OutputFolder:
    """The folder of a bulk job, local or in a store. What is written appears whole or not at all."""

    def __init__(self, address: str) -> None:
        self.address = address if is_remote(address) else str(Path(address).absolute())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other commands of this machine out during the block. Raises StoreInUse, IngestError.

        A folder in a store is locked for the commands of this user alone, since stores have no locks.
        """
        if is_remote(self.address):
            name = hashlib.sha256(self.address.encode()).hexdigest()[:32]
            path = user_state_path("nestvec") / "bulk" / f"{name}.lock"
        else:
            path = Path(self.address, ".lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = sqlite3.connect(path, timeout=0, isolation_level=None)
        except (sqlite3.Error, OSError) as error:
            raise self._unwritable(error) from error
        # It stays: a process that opened it before it is removed would lock a file that no other one sees.
        with closing(lock):
            try:
                lock.execute("BEGIN EXCLUSIVE")
            except sqlite3.Error as error:
                if "locked" not in str(error):
                    raise self._unwritable(error) from error
                raise StoreInUse(
                    "another command is at work in the folder of this bulk job",
                    value=self.address,
                    next_step="Wait until it has ended, or stop it: the same command continues it.",
                ) from error
            yield

    def write(self, name: str, data: bytes) -> None:
        """Replace a file by ``data``, on disk when this returns. Raises IngestError."""
        if is_remote(self.address):
            with store_errors(self.address):
                store, base = open_store(self.address)
                with store.open_output_stream(f"{base}/{name}", compression=None) as stream:
                    stream.write(data)
            return
        with self.temporary(name) as path, self.write_errors():
            path.write_bytes(data)
            self.publish(path, name)

    @contextmanager
    def write_errors(self) -> Iterator[None]:
        """Turn what writing at a path of ``temporary`` raises into IngestError."""
        try:
            yield
        except OSError as error:
            raise self._unwritable(error) from error

    @contextmanager
    def temporary(self, name: str) -> Iterator[Path]:
        """A local path to write a file at, for ``publish``; it is removed if it was not published."""
        if is_remote(self.address):
            with self.write_errors():
                folder = tempfile.TemporaryDirectory(prefix="nestvec-bulk-")
            with folder:
                yield Path(folder.name, Path(name).name)
            return
        target = Path(self.address, name)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            descriptor, new = tempfile.mkstemp(prefix=".new-", dir=target.parent)
            os.close(descriptor)
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            yield Path(new)
        finally:
            Path(new).unlink(missing_ok=True)

    def publish(self, path: Path, name: str) -> None:
        """Move what was written at a path of ``temporary`` to its name. Raises IngestError."""
        if is_remote(self.address):
            with store_errors(self.address):
                store, base = open_store(self.address)
                with (
                    path.open("rb") as source,
                    store.open_output_stream(f"{base}/{name}", compression=None) as target,
                ):
                    while chunk := source.read(_CHUNK_BYTES):
                        target.write(chunk)
            return
        target_path = Path(self.address, name)
        try:
            with path.open("rb") as file:
                os.fsync(file.fileno())
            path.chmod(0o644)
            path.replace(target_path)
            folder = os.open(target_path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise self._unwritable(error) from error

    def read(self, name: str) -> bytes | None:
        """The content of a file; None if there is none. Raises IngestError."""
        if is_remote(self.address):
            with store_errors(self.address):
                store, base = open_store(self.address)
                if store.get_file_info(f"{base}/{name}").type == fs.FileType.NotFound:
                    return None
                with store.open_input_stream(f"{base}/{name}", compression=None) as stream:
                    data: bytes = stream.read()
                    return data
        try:
            return Path(self.address, name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unwritable(error) from error

    def digest(self, name: str) -> str:
        """The SHA-256 of a file, which is streamed. Raises IngestError, FileUnreadable."""
        digest = hashlib.sha256()
        if is_remote(self.address):
            with store_errors(self.address):
                store, base = open_store(self.address)
                with store.open_input_stream(f"{base}/{name}", compression=None) as stream:
                    while chunk := stream.read(_CHUNK_BYTES):
                        digest.update(chunk)
            return digest.hexdigest()
        try:
            with Path(self.address, name).open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    digest.update(chunk)
        except OSError as error:
            raise self._unwritable(error) from error
        return digest.hexdigest()

    def names(self, folder: str) -> list[str]:
        """The names of the files in one of its folders, sorted."""
        return sorted(self.sizes(folder))

    def sizes(self, folder: str) -> dict[str, int]:
        """The files in one of its folders by name, with their bytes."""
        if is_remote(self.address):
            with store_errors(self.address):
                store, base = open_store(self.address)
                selector = fs.FileSelector(f"{base}/{folder}", allow_not_found=True)
                return {entry.base_name: entry.size for entry in store.get_file_info(selector)}
        path = Path(self.address, folder)
        return {entry.name: entry.stat().st_size for entry in path.iterdir()} if path.is_dir() else {}

    def exists(self, name: str) -> bool:
        """Whether there is a file of this name. Raises FileUnreadable."""
        if is_remote(self.address):
            with store_errors(self.address):
                store, base = open_store(self.address)
                return bool(store.get_file_info(f"{base}/{name}").type == fs.FileType.File)
        return Path(self.address, name).is_file()

    def remove(self, name: str) -> None:
        """Remove a file, if it exists."""
        if is_remote(self.address):
            with store_errors(self.address):
                store, base = open_store(self.address)
                if self.exists(name):
                    store.delete_file(f"{base}/{name}")
            return
        Path(self.address, name).unlink(missing_ok=True)

    def milvus_path(self, name: str) -> str:
        """The path of a file as Milvus's import takes it: without the bucket, or absolute."""
        if not is_remote(self.address):
            return str(Path(self.address, name))
        _, base = open_store(self.address)
        return f"{base}/{name}".partition("/")[2]

    def _unwritable(self, error: OSError | sqlite3.Error) -> IngestError:
        if is_remote(self.address) and not isinstance(error, sqlite3.Error):
            return _no_room(tempfile.gettempdir(), "Check it, or set TMPDIR to another folder", error)
        if getattr(error, "errno", None) in _NO_ROOM:
            return _no_room(self.address, "Free space there")
        return IngestError(
            "the folder of the bulk job cannot be read or written",
            value=f"{self.address} ({getattr(error, 'strerror', None) or error})",
            next_step="Name another one with --to.",
        )


def _no_room(folder: str, next_step: str, error: OSError | None = None) -> IngestError:
    """The error for a full disk, or for another ``error`` of writing to a folder."""
    reason = "there is no space left" if error is None else error.strerror or str(error)
    return IngestError(
        "a file of the bulk job cannot be written",
        value=f"{folder} ({reason})",
        next_step=f"{next_step}, and run the same command again, which continues.",
    )
