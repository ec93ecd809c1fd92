"""``nestvec pg``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from nestvec.cli import COMMANDS
from nestvec.cli.options import MilvusArgs, args_command, milvus_options, models_option, option, option_group
from nestvec.cli.serve_options.sizes import Bytes

if TYPE_CHECKING:
    from nestvec.pgwire.settings import PgAccess, PgLimits

_FILE = click.Path(path_type=Path, dir_okay=False)
_SECONDS = click.FloatRange(0, 86_400)


@dataclass(frozen=True)
class PgNetworkArgs:
    """Where the server listens."""

    host: str
    port: int


@dataclass(frozen=True)
class PgAccessArgs:
    """Who may connect."""

    user: str
    password_file: Path | None
    api_keys: Path | None
    tls_cert: Path | None
    tls_key: Path | None

    def access(self) -> PgAccess:
        """Accounts and certificate. Raises ServiceError, click's UsageError."""
        from nestvec.pgwire.auth.accounts import Accounts, KeyAccounts, PasswordAccount
        from nestvec.pgwire.settings import PgAccess

        accounts: Accounts | None = None
        if self.password_file is not None and self.api_keys is not None:
            raise click.UsageError("Give --password-file or --api-keys, not both.")
        if self.password_file is not None:
            accounts = PasswordAccount(self.user, self.password_file)
        elif self.api_keys is not None:
            accounts = KeyAccounts(self.api_keys)
        return PgAccess(accounts, self.tls_cert, self.tls_key)


@dataclass(frozen=True)
class PgLimitArgs:
    """What the server, a connection or a statement may take."""

    max_connections: int
    max_message: int
    cursor_memory: int
    statement_seconds: float
    idle_seconds: float
    shutdown_seconds: float

    def limits(self) -> PgLimits:
        """The server's limits."""
        from nestvec.pgwire.settings import PgLimits

        return PgLimits(
            connections=self.max_connections,
            message_bytes=self.max_message,
            cursor_bytes=self.cursor_memory,
            statement_seconds=self.statement_seconds,
            idle_seconds=self.idle_seconds,
            shutdown_seconds=self.shutdown_seconds,
        )


@dataclass(frozen=True)
class PgArgs:
    """The command's arguments."""

    network: PgNetworkArgs
    milvus: MilvusArgs
    models: Path
    access: PgAccessArgs
    limits: PgLimitArgs
    log_format: Literal["text", "json"]
    metrics_port: int | None


@click.command("pg", cls=args_command(PgArgs), short_help=COMMANDS["pg"].short_help)
@option_group(
    "Network",
    option("--host", default="127.0.0.1", help="Address to listen on; 0.0.0.0 for all of this machine."),
    option("--port", type=click.IntRange(0, 65_535), default=5432, help="Port; 0 for any free one."),
)
@milvus_options
@models_option
@option_group(
    "Access",
    option(
        "--user", default="nestvec", metavar="NAME", help="The user whose password is in --password-file."
    ),
    option("--password-file", type=_FILE, help="File with the password of --user."),
    option(
        "--api-keys",
        type=_FILE,
        help="File of API keys, one per line, as for nestvec serve: each is a password of any user.",
    ),
    option("--tls-cert", type=_FILE, help="Certificate chain (PEM); other hosts then have to use TLS."),
    option("--tls-key", type=_FILE, help="The certificate's unencrypted private key (PEM)."),
)
@option_group(
    "Limits",
    option("--max-connections", type=click.IntRange(1, 10_000), default=100, help="Open connections."),
    option("--max-message", type=Bytes(), default="64MiB", metavar="SIZE", help="One message of a client."),
    option("--cursor-memory", type=Bytes(), default="1GiB", metavar="SIZE", help="All cursors of a client."),
    option("--statement-seconds", type=_SECONDS, default=300, help="For one statement; 0 for any time."),
    option(
        "--idle-seconds", type=_SECONDS, default=0, help="Between two statements of a client; 0 for any time."
    ),
    option(
        "--shutdown-seconds", type=_SECONDS, default=30, help="After SIGTERM, how long to finish statements."
    ),
)
@option_group(
    "Observability",
    option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        help="Format of the log on standard error; nestvec -v pg logs every statement's tag and time.",
    ),
    option(
        "--metrics-port",
        type=click.IntRange(1, 65_535),
        help="Port of this host at which Prometheus finds metrics; without it there are none.",
    ),
)
def command(args: PgArgs) -> None:
    """Serve SQL to PostgreSQL's clients: psql, JDBC, psycopg, asyncpg, SQLAlchemy, DBeaver, Grafana.

    The statements are those of nestvec sql, and the catalogs have what clients need to show tables, columns
    and keys. A path without a database becomes a new one, for CREATE TABLE. Without passwords, the server
    listens to this host only. SIGTERM finishes running statements; a second one ends at once.

    \b
    Example:
      nestvec pg --uri demo.db &
      psql "host=127.0.0.1 dbname=demo" -c "SELECT count(*) FROM pydoc"
    """
    from nestvec.milvus.address import parse_address
    from nestvec.pgwire.settings import PgSettings
    from nestvec.pgwire.start import check_access, run_server
    from nestvec.service.observability.logs import service_log
    from nestvec.service.server import bind
    from nestvec.sql import SessionSettings

    milvus = args.milvus
    address = parse_address(milvus.uri, token=milvus.token, database=milvus.database)
    is_new = address.is_lite and not Path(address.uri).exists()
    access = args.access.access()
    check_access(args.network.host, access)
    settings = PgSettings(
        args.limits.limits(),
        access,
        SessionSettings(models=args.models),
        database=milvus.database or ("milvus" if not address.is_lite else Path(milvus.uri).stem) or "milvus",
        serial_writes=address.is_lite,
    )
    with (
        service_log(args.log_format),
        bind(args.network.host, args.network.port) as listener,
        milvus.open(create=True) as client,
    ):
        if is_new:
            click.echo(f"Created the empty database {milvus.uri}: there was none at this path.")
        host, port = listener.getsockname()[:2]
        click.echo(f"Serving PostgreSQL's protocol at {host}, port {port}: database {settings.database}")
        run_server(client, settings, listener, args.metrics_port)
