"""Images in S3 or a compatible store, with boto3 (the extra ``s3``)."""

from __future__ import annotations

import importlib
import io
import re
import threading
import time
from contextlib import closing
from typing import Any
from urllib.parse import unquote

from nestvec.images.address import ImageAddress
from nestvec.images.fetch_errors import malformed, refused, too_large, too_slow, unreachable
from nestvec.images.policy import ImagePolicy
from nestvec_schemas.errors import ImageUnreachable

# A bucket's name becomes part of a host name: nothing else may be in it.
_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_READ_SIZE = 1 << 18

_clients_lock = threading.Lock()
_clients: dict[tuple[str | None, float], Any] = {}


def read_s3(address: ImageAddress, policy: ImagePolicy) -> bytes:
    """The object at ``s3://bucket/key``, the key percent-encoded as in a URL; blocks.

    The credentials are the service's own, as boto3 finds them. Raises ImageRefused, ImageUnreachable.
    """
    shown = address.shown
    bucket, _, key = address.text[len("s3://") :].partition("/")
    key = unquote(key)  # a space could not be written otherwise
    if not _BUCKET_NAME.fullmatch(bucket) or ".." in bucket:
        raise malformed("names no bucket", shown, "Write s3://, the bucket's name, / and the key.")
    if bucket not in policy.buckets and "*" not in policy.buckets:
        raise refused("from this bucket", shown, "the bucket (--image-bucket)")
    client = _client(policy, shown)
    deadline = time.monotonic() + policy.limits.max_seconds
    exceptions = importlib.import_module("botocore.exceptions")
    urllib3 = importlib.import_module("urllib3.exceptions")
    try:
        answer = client.get_object(Bucket=bucket, Key=key)
        with closing(answer["Body"]) as body:
            return _read_body(body, answer.get("ContentLength"), policy, deadline, shown)
    except exceptions.ClientError as error:
        raise unreachable(f"the store answered {error.response['Error'].get('Code', 'no')}", shown) from error
    except (exceptions.BotoCoreError, urllib3.HTTPError, OSError, ValueError) as error:
        raise unreachable(f"the store cannot be reached ({type(error).__name__})", shown) from error


def _read_body(body: Any, length: int | None, policy: ImagePolicy, deadline: float, shown: str) -> bytes:
    if length is not None and length > policy.limits.max_bytes:
        raise too_large(policy.limits.max_bytes, shown)
    # The body's read() waits for the whole part, however slowly it arrives; urllib3's read1() does not.
    read = body._raw_stream.read1
    data = io.BytesIO()  # gives its bytes away without a copy
    while part := read(_READ_SIZE):
        data.write(part)
        if data.tell() > policy.limits.max_bytes:
            raise too_large(policy.limits.max_bytes, shown)
        if time.monotonic() > deadline:
            raise too_slow(policy.limits.max_seconds, shown)
    if length is not None and data.tell() != length:
        raise unreachable("the store closed the connection early", shown)
    return data.getvalue()


def _client(policy: ImagePolicy, shown: str) -> Any:
    key = (policy.s3_endpoint, policy.limits.max_seconds)
    with _clients_lock:  # a session of boto3 is not thread-safe, its clients are
        if key not in _clients:
            try:
                boto3 = importlib.import_module("boto3")
                config = importlib.import_module("botocore.config").Config
            except ImportError as error:
                raise ImageUnreachable(
                    "the service cannot read from S3: boto3 is not installed",
                    value=shown,
                    next_step="Install nestvec[s3] where the service runs.",
                ) from error
            _clients[key] = boto3.session.Session().client(
                "s3",
                endpoint_url=policy.s3_endpoint,
                config=config(
                    connect_timeout=policy.limits.max_seconds,
                    read_timeout=policy.limits.max_seconds,
                    retries={"total_max_attempts": 2, "mode": "standard"},
                    proxies={},
                    max_pool_connections=policy.limits.max_concurrent,
                    # Other stores seldom have a host name for each bucket.
                    s3={"addressing_style": "path" if policy.s3_endpoint else "auto"},
                ),
            )
    return _clients[key]
