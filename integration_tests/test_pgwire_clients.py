"""Programs of other languages, TLS, passwords and hostile bytes against a server of PostgreSQL's protocol.

psql, Node's ``pg`` and the JDBC driver are not Python packages: where one is missing, its test is skipped and
says by name what to install.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from integration_tests.fixtures.pgwire import HANG_SECONDS, RunningPg, run_pg

from nestvec.pgwire.auth.accounts import KeyAccounts, PasswordAccount
from nestvec.pgwire.portals import MAX_PORTALS
from nestvec.pgwire.settings import PgAccess, PgLimits, PgSettings

CREATE = (
    """CREATE TABLE items (id BIGINT PRIMARY KEY, name VARCHAR(50), price DOUBLE PRECISION, v VECTOR(3))"""
)
JARS = (
    Path("/usr/share/java/postgresql.jar"),
    *Path.home().glob(".m2/repository/org/postgresql/postgresql/*/*.jar"),
)
JDBC = """
import java.sql.*;
public class Ask {
  public static void main(String[] arguments) throws Exception {
    try (Connection connection = DriverManager.getConnection(arguments[0])) {
      DatabaseMetaData data = connection.getMetaData();
      try (ResultSet rows = data.getTables(null, "public", "%", new String[] {"TABLE"})) {
        while (rows.next()) System.out.println("table " + rows.getString("TABLE_NAME"));
      }
      try (ResultSet rows = data.getColumns(null, "public", "items", "%")) {
        while (rows.next()) System.out.println("column " + rows.getString("COLUMN_NAME") + " "
            + rows.getString("TYPE_NAME") + " " + rows.getInt("NULLABLE"));
      }
      try (ResultSet rows = data.getPrimaryKeys(null, "public", "items")) {
        while (rows.next()) System.out.println("key " + rows.getString("COLUMN_NAME"));
      }
      try (ResultSet rows = data.getImportedKeys(null, "public", "items")) { rows.next(); }
      System.out.println("keyword " + ("," + data.getSQLKeywords() + ",").contains(",ilike,"));
      try (ResultSet rows = data.getIndexInfo(null, "public", "items", false, true)) {
        while (rows.next()) System.out.println("index " + rows.getString("COLUMN_NAME"));
      }
      PreparedStatement query = connection.prepareStatement("SELECT name FROM items WHERE id = ?");
      for (int number = 0; number < 8; number++) {
        query.setLong(1, 1);
        try (ResultSet rows = query.executeQuery()) { rows.next(); System.out.println(rows.getString(1)); }
      }
      PreparedStatement nearest = connection.prepareStatement(
          "SELECT id FROM items ORDER BY v <=> ?::vector LIMIT ?");
      nearest.setString(1, "[4,5,6]");
      nearest.setInt(2, 1);
      try (ResultSet rows = nearest.executeQuery()) {
        rows.next();
        System.out.println("nearest " + rows.getLong(1));
      }
      Statement statement = connection.createStatement();
      statement.execute("CREATE TABLE edited (id BIGINT PRIMARY KEY, name TEXT, v VECTOR(2))");
      statement.execute("INSERT INTO edited VALUES (1, 'a', '[1,2]'), (2, 'b', '[3,4]')");
      PreparedStatement all = connection.prepareStatement("SELECT * FROM edited WHERE id > ?");
      for (int number = 0; number < 8; number++) { all.setLong(1, 0); all.executeQuery().next(); }
      Statement updatable = connection.createStatement(
          ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_UPDATABLE);
      try (ResultSet rows = updatable.executeQuery("SELECT id, name FROM edited ORDER BY id")) {
        rows.next();
        rows.updateString("name", "c");
        rows.updateRow();
        rows.next();
        rows.deleteRow();
      }
      try (ResultSet rows = statement.executeQuery("SELECT id, name FROM edited")) {
        while (rows.next()) System.out.println("edited " + rows.getLong(1) + " " + rows.getString(2));
      }
      try (Connection other = DriverManager.getConnection(arguments[0])) {
        other.createStatement().execute("DROP TABLE edited");
        other.createStatement().execute(
            "CREATE TABLE edited (id BIGINT PRIMARY KEY, n INT, v VECTOR(2), s TEXT)");
        other.createStatement().execute("INSERT INTO edited VALUES (1, 7, '[1,2]', 's')");
      }
      try (ResultSet rows = all.executeQuery()) {
        rows.next();
        System.out.println("changed " + rows.getMetaData().getColumnCount() + " " + rows.getInt(2));
      }
      statement.execute("DROP TABLE edited");
    }
  }
}
"""
NODE = """
const { Client } = require('pg');
(async () => {
  const client = new Client({ connectionString: process.argv[2] });
  await client.connect();
  const rows = (await client.query('SELECT id, name, price FROM items WHERE id = $1', [2])).rows;
  console.log(JSON.stringify(rows));
  await client.query('SELECT nope FROM items').catch((error) => console.log(error.code, error.position));
  await client.end();
})();
"""


@pytest.fixture(scope="module")
def pg(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPg]:
    with run_pg(tmp_path_factory.mktemp("clients") / "pg.db") as running:
        with psycopg.connect(running.address, autocommit=True) as connection:
            connection.execute(CREATE)
            connection.execute("INSERT INTO items VALUES (1, 'a', 1.5, '[1,2,3]'), (2, 'b', NULL, '[4,5,6]')")
        yield running


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of localhost, and its key."""
    folder, key = tmp_path_factory.mktemp("tls"), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_path, key_path = folder / "cert.pem", folder / "key.pem"
    cert_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem = serialization.PrivateFormat.PKCS8
    key_path.write_bytes(key.private_bytes(serialization.Encoding.PEM, pem, serialization.NoEncryption()))
    return cert_path, key_path


def _program(name: str, package: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed: {package}")
    return path


def _run(arguments: list[str], **environment: str) -> str:
    done = subprocess.run(
        arguments,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        env=os.environ | environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_psql(pg: RunningPg, tmp_path: Path) -> None:
    psql = _program("psql", "apt install postgresql-client")
    file = tmp_path / "rows.csv"
    file.write_text('10,ten,1,"[1,1,1]"\n11,,2,"[2,2,2]"\n')
    commands = (
        *("\\dt", "\\d items", "\\d+ items", "\\di", "\\l", "\\dn", "\\df", "\\du", "\\dx", "\\dT"),
        f"\\copy items from '{file}' csv",
        "SELECT name FROM items WHERE id = 10",
        "\\copy (SELECT id FROM items WHERE id > 9 ORDER BY id) to stdout csv",
        "DELETE FROM items WHERE id > 9",
    )
    arguments = [argument for command in commands for argument in ("-c", command)]
    output = _run([psql, "-X", "-v", "ON_ERROR_STOP=1", "-d", pg.address, *arguments])
    for expected in (
        "public | items | table | tester",
        "character varying(50)",
        "vector(3)",
        '"items_pkey" PRIMARY KEY, btree (id)',
        "milvus",
        "COPY 2",
        "10\n11\n",
        "DELETE 2",
    ):
        assert expected in output, output


def test_node(pg: RunningPg, tmp_path: Path) -> None:
    node = _program("node", "https://nodejs.org")
    script = tmp_path / "ask.js"
    script.write_text(NODE)
    modules = os.environ.get("NODE_PATH", "")
    has_pg = subprocess.run([node, "-e", "require('pg')"], capture_output=True, check=False).returncode == 0
    if not has_pg:
        pytest.skip("Node's pg is not installed: npm install pg, and NODE_PATH=…/node_modules")
    output = _run([node, str(script), pg.url], NODE_PATH=modules)
    assert output == '[{"id":"2","name":"b","price":null}]\n42703 8\n'


def test_jdbc(pg: RunningPg, tmp_path: Path) -> None:
    java = _program("java", "apt install default-jdk-headless")
    jars = [jar for jar in (Path(os.environ.get("NESTVEC_JDBC_JAR", "")), *JARS) if jar.is_file()]
    if not jars:
        pytest.skip("the JDBC driver is missing: apt install libpostgresql-jdbc-java, or NESTVEC_JDBC_JAR")
    source = tmp_path / "Ask.java"
    source.write_text(JDBC)
    address = f"jdbc:postgresql://127.0.0.1:{pg.port}/milvus?user=tester"
    output = _run([java, "-cp", str(jars[0]), str(source), address]).splitlines()
    assert output[:5] == [
        "table items",
        "column id int8 0",
        "column name varchar 1",
        "column price float8 1",
        *[line for line in output if line.startswith("column v ")],
    ]
    assert "key id" in output
    assert "index v" in output
    assert output.count("a") == 8
    assert "keyword true" in output
    assert output[-3:] == ["nearest 2", "edited 1 c", "changed 4 7"]


def test_tls_and_scram(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    cert, key = certificate
    password = tmp_path / "password"
    password.write_text("s3cret\n")
    access = PgAccess(PasswordAccount("alice", password), cert, key)
    with run_pg(tmp_path / "tls.db", PgSettings(access=access)) as running:
        address = f"host=localhost hostaddr=127.0.0.1 port={running.port} dbname=x connect_timeout=60"
        secure = f"{address} sslmode=verify-full sslrootcert={cert}"
        with psycopg.connect(f"{secure} user=alice password=s3cret") as connection:
            assert connection.pgconn.ssl_in_use
            assert connection.execute("SELECT 1").fetchone() == (1,)
        for wrong in ("user=alice password=wrong", "user=bob password=s3cret", "user=alice"):
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(f"{secure} {wrong}")


def test_each_api_key_is_a_password(tmp_path: Path) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text("# the service's\nfirst-key\nsecond-key\n")
    with run_pg(tmp_path / "keys.db", PgSettings(access=PgAccess(KeyAccounts(keys)))) as running:
        for key in ("first-key", "second-key"):
            with psycopg.connect(running.address, password=key) as connection:
                assert connection.execute("SELECT current_user").fetchone() == ("tester",)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(running.address, password="third-key")


def test_bytes_before_tls_end_the_connection(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    """What someone between client and server adds before TLS must not count as the client's."""
    access = PgAccess(None, *certificate)
    with run_pg(tmp_path / "early.db", PgSettings(access=access)) as running, _socket(running) as raw:
        raw.sendall(struct.pack("!ii", 8, 80877103) + b"Q\0\0\0\rDROP TABLE")
        answer = _read_all(raw)
        assert answer.startswith(b"S")
        assert b"unencrypted data" in answer


def _socket(running: RunningPg) -> socket.socket:
    return socket.create_connection(("127.0.0.1", running.port), timeout=HANG_SECONDS)


def _read_all(raw: socket.socket) -> bytes:
    parts = []
    try:
        while part := raw.recv(65536):
            parts.append(part)
    except (ConnectionResetError, ssl.SSLError):
        pass
    return b"".join(parts)


def _startup() -> bytes:
    body = struct.pack("!i", 3 << 16) + b"user\0tester\0\0"
    return struct.pack("!i", len(body) + 4) + body


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"08P01"),
        (struct.pack("!i", 2**31 - 1), b"08P01"),
        (struct.pack("!i", 4), b"08P01"),
        (struct.pack("!ii", 9, 2 << 16) + b"\0", b"0A000"),
        (_startup() + b"?\0\0\0\4", b"08P01"),
        (_startup() + b"Q" + struct.pack("!i", 2**31 - 1), b"08P01"),
        (_startup() + b"Q" + struct.pack("!i", -5), b"08P01"),
        (_startup() + b"B\0\0\0\5\0", b"08P01"),
        (_startup() + b"p\0\0\0\4", b"08P01"),
    ],
)
def test_hostile_bytes_end_the_connection_only(pg: RunningPg, data: bytes, expected: bytes) -> None:
    with _socket(pg) as raw:
        raw.sendall(data)
        assert expected in _read_all(raw)
    with psycopg.connect(pg.address) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def _message(type_: bytes, body: bytes = b"") -> bytes:
    return type_ + struct.pack("!i", len(body) + 4) + body


SYNC, TERMINATE = _message(b"S"), _message(b"X")
FINE = _message(b"P", b"\0SELECT 1\0\0\0") + _message(b"B", b"\0\0" + b"\0" * 6) + _message(b"E", b"\0" * 5)


def _types(pg: RunningPg, messages: bytes) -> str:
    """The types of the messages that the server sends after its first ReadyForQuery."""
    with _socket(pg) as raw:
        raw.sendall(_startup() + messages + TERMINATE)
        data = _read_all(raw)
    types = list[str]()
    while data:
        types.append(data[:1].decode())
        data = data[1 + struct.unpack_from("!i", data, 1)[0] :]
    return "".join(types).partition("Z")[2]


def test_an_error_of_the_extended_protocol_skips_to_sync(pg: RunningPg) -> None:
    bad = _message(b"P", b"\0SELEC 1\0\0\0")
    ignored = _message(b"P", b"s\0SELECT 1\0\0\0") + _message(b"E", b"\0" * 5) + _message(b"Q", b"SELECT 1\0")
    assert _types(pg, bad + ignored + SYNC + FINE + SYNC) == "EZ12DCZ"


def test_a_portal_ends_with_its_transaction(pg: RunningPg) -> None:
    """Outside a block, a Sync ends one; a connection that leaves portals open does not run out of them."""
    statement = _message(b"P", b"s\0SELECT 1\0\0\0")
    portals = [_message(b"B", b"p%d\0s\0" % number + b"\0" * 6) for number in range(MAX_PORTALS + 1)]
    gone = _message(b"E", b"p0\0" + b"\0" * 4) + SYNC
    assert _types(pg, statement + b"".join(portal + SYNC for portal in portals) + gone) == (
        "1" + "2Z" * len(portals) + "EZ"
    )
    begin = _message(b"Q", b"BEGIN\0")
    assert _types(pg, statement + begin + portals[0] + SYNC + gone) == "1CZ2ZDCZ"


def test_a_login_that_does_not_come_is_ended(tmp_path: Path) -> None:
    with (
        run_pg(tmp_path / "slow.db", PgSettings(PgLimits(login_seconds=0.1))) as running,
        _socket(running) as raw,
    ):
        assert _read_all(raw) == b""


def test_a_new_path_is_an_empty_database_and_sigterm_lets_clients_go(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("nestvec")
    command = [str(program), "pg", "--port", "0", "--uri", str(tmp_path / "term.db")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Created the empty database")
        line = process.stdout.readline()
        assert "database term" in line
        port = int(line.partition("port ")[2].partition(":")[0])
        with psycopg.connect(
            f"host=127.0.0.1 port={port} user=me dbname=term", autocommit=True
        ) as connection:
            connection.execute(CREATE)
            assert connection.execute("SELECT count(*) FROM items").fetchone() == (0,)
            process.send_signal(signal.SIGTERM)
            with socket.socket(fileno=os.dup(connection.fileno())) as raw:
                raw.settimeout(HANG_SECONDS)
                assert b"57P01" in _read_all(raw)
        assert process.wait(HANG_SECONDS) == 0
    finally:
        process.kill()
