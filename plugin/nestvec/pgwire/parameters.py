"""PostgreSQL's settings that clients read and set: SET, SHOW, RESET, and what ParameterStatus reports."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from nestvec.pgwire.errors import PgError
from nestvec.sql.settings import SETTINGS

SERVER_VERSION: Final = "16.4"
"""The PostgreSQL whose behaviour clients may expect."""

DEFAULTS: Final[Mapping[str, str]] = {
    "application_name": "",
    "bytea_output": "hex",
    "client_encoding": "UTF8",
    "client_min_messages": "notice",
    "DateStyle": "ISO, MDY",
    "default_table_access_method": "heap",
    "default_tablespace": "",
    "default_transaction_deferrable": "off",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "escape_string_warning": "on",
    "extra_float_digits": "1",
    "idle_in_transaction_session_timeout": "0",
    "in_hot_standby": "off",
    "integer_datetimes": "on",
    "IntervalStyle": "postgres",
    "is_superuser": "off",
    "jit": "off",
    "lc_collate": "C.UTF-8",
    "lc_ctype": "C.UTF-8",
    "lc_messages": "C.UTF-8",
    "lc_monetary": "C.UTF-8",
    "lc_numeric": "C.UTF-8",
    "lc_time": "C.UTF-8",
    "lock_timeout": "0",
    "maintenance_work_mem": "64MB",
    "max_identifier_length": "63",
    "max_index_keys": "32",
    "max_parallel_maintenance_workers": "0",
    "max_parallel_workers_per_gather": "0",
    "password_encryption": "scram-sha-256",
    "role": "none",
    "row_security": "on",
    "search_path": '"$user", public',
    "server_encoding": "UTF8",
    "server_version": SERVER_VERSION,
    "server_version_num": "160004",
    "session_authorization": "",
    "standard_conforming_strings": "on",
    "statement_timeout": "0",
    "synchronous_commit": "on",
    "TimeZone": "UTC",
    "transaction_deferrable": "off",
    "transaction_isolation": "read committed",
    "transaction_read_only": "off",
    "work_mem": "4MB",
    "xmloption": "content",
}

REPORTED: Final = (
    "application_name",
    "client_encoding",
    "DateStyle",
    "default_transaction_read_only",
    "in_hot_standby",
    "integer_datetimes",
    "IntervalStyle",
    "is_superuser",
    "server_encoding",
    "server_version",
    "session_authorization",
    "standard_conforming_strings",
    "TimeZone",
)
"""What clients are told at the start, and of each change."""

_READ_ONLY: Final = frozenset(
    {
        "in_hot_standby",
        "integer_datetimes",
        "is_superuser",
        "lc_collate",
        "lc_ctype",
        "max_identifier_length",
        "max_index_keys",
        "server_encoding",
        "server_version",
        "server_version_num",
    }
)
_NAMES: Final = {name.lower(): name for name in DEFAULTS}
_MAX_VALUE: Final = 1000

TRANSACTION_READ_ONLY: Final = "transaction_read_only"
"""Whether the present block may not write; without effect outside one."""

_UTC: Final = frozenset(
    {"utc", "etc/utc", "uct", "gmt", "zulu", "universal", "local", "0", "+00:00", "00:00"}
)

_VALUE: Final = r"(?:'(?:[^']|'')*'|\"[^\"]*\"|[^\s,;'\"]+)"
_SET: Final = re.compile(
    rf"set\s+(?:(?P<kind>session|local)\s+)?(?:(?P<name>[\w.]+)\s*(?:=|\bto\b)\s*"
    rf"|(?P<zone>time\s+zone)\s+(?:interval\s+)?|(?P<names>names)\s+)(?P<value>{_VALUE}(?:\s*,\s*{_VALUE})*)"
    r"(?:\s+hour\s+to\s+minute)?",
    re.I,
)
_TRANSACTION: Final = re.compile(
    r"set\s+(?:(?P<session>session\s+characteristics\s+as\s+transaction)|(?:local\s+)?transaction|constraints)\b"
    r"(?P<modes>.*)",
    re.I | re.S,
)
_READ_MODE: Final = re.compile(r"\bread\s+(only|write)\b", re.I)
_FIXED: Final[Mapping[str, tuple[str, ...]]] = {
    "bytea_output": ("hex",),
    "extra_float_digits": ("1", "2", "3"),
    "IntervalStyle": ("postgres",),
    "role": ("none",),
    "standard_conforming_strings": ("on", "true", "1", "yes"),
}
"""The values of settings that have no other effect here; the first is what is in force."""

_BOOLEANS: Final[Mapping[str, str]] = dict.fromkeys(("on", "true", "yes", "1", "t"), "on") | dict.fromkeys(
    ("off", "false", "no", "0", "f"), "off"
)
_SCHEMA: Final = re.compile(r"(?:^|,)\s*\"?public\"?\s*(?:,|$)", re.I)
_SHOW: Final = re.compile(
    r"(?P<word>show|reset)\s+(?:(?P<zone>time\s+zone)|(?P<level>transaction\s+isolation\s+level)"
    r"|(?P<name>[\w.]+))",
    re.I,
)
_UNITS: Final = {"": 0.001, "us": 1e-6, "ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*(us|ms|s|min|h|d)?")


class PgParameters:
    """The settings of one connection; ``report`` is called with those that clients track."""

    def __init__(self, report: Callable[[str, str], None]) -> None:
        self._values = dict(DEFAULTS)
        self._initial = dict(DEFAULTS)
        self._before_block = dict[str, str]()
        self._report = report

    def start(self, name: str, value: str) -> None:
        """Take a setting of the startup message, which RESET restores. Raises PgError."""
        canonical = _NAMES.get(name.lower())
        if canonical is None or canonical == "TimeZone":
            return  # JDBC sends the zone of its machine: the report says that it is UTC here
        self._values[canonical] = self._initial[canonical] = _checked(canonical, value.strip("'"))

    def report_all(self) -> None:
        """Report everything that clients track."""
        for name in REPORTED:
            self._report(name, self._values[name])

    def value(self, name: str) -> str | None:
        """The value of a setting, or None for an unknown one."""
        canonical = _NAMES.get(name.lower())
        return None if canonical is None else self._values[canonical]

    def all(self) -> Mapping[str, str]:
        """All settings."""
        return self._values

    def set(self, name: str, value: str, local: bool = False) -> None:
        """Change a setting; ``local`` for the transaction block only. Raises PgError."""
        canonical = _NAMES.get(name.lower())
        if canonical is None:
            raise PgError("42704", f'unrecognized configuration parameter "{name[:100]}"')
        if canonical in _READ_ONLY:
            raise PgError("55P02", f'parameter "{canonical}" cannot be changed')
        checked = self._initial[canonical] if value.lower() == "default" else _checked(canonical, value)
        if local:
            self._before_block.setdefault(canonical, self._values[canonical])
        self._assign(canonical, checked)

    def reset(self) -> None:
        """Restore every setting."""
        for name, value in self._initial.items():
            self._assign(name, value)

    def end_block(self) -> None:
        """Restore what SET LOCAL changed."""
        for name, value in self._before_block.items():
            self._assign(name, value)
        self._before_block.clear()

    def read_only(self, *, in_block: bool) -> bool:
        """Whether a statement may not write: in a block as that says, else by the default."""
        return self._values[TRANSACTION_READ_ONLY if in_block else "default_transaction_read_only"] == "on"

    def begin_block(self, sql: str) -> None:
        """Take the mode of a BEGIN until the block ends: READ ONLY, READ WRITE or the default."""
        mode = read_mode(sql) or self._values["default_transaction_read_only"]
        self.set(TRANSACTION_READ_ONLY, mode, local=True)

    @property
    def statement_seconds(self) -> float:
        """``statement_timeout``; 0 for none."""
        return _seconds(self._values["statement_timeout"]) or 0.0

    def _assign(self, name: str, value: str) -> None:
        changed = self._values[name] != value
        self._values[name] = value
        if changed and name in REPORTED:
            self._report(name, value)


class SetStatement:
    """A SET, SHOW or RESET of PostgreSQL's settings."""

    def __init__(self, word: str, name: str, value: str = "", local: bool = False) -> None:
        self.word, self.name, self.value, self.local = word, name, value, local


def parse_set(sql: str) -> SetStatement | None:
    """The SET, SHOW or RESET of one of PostgreSQL's settings; None for one of nestvec's, or another one.

    ``name`` is empty for a SET of a transaction's isolation, which Milvus does not have. Raises PgError for a
    setting that nobody has.
    """
    text = sql.strip().rstrip(";").strip()
    match = _TRANSACTION.fullmatch(text)
    if match is not None:
        mode = read_mode(match["modes"])
        name = "default_transaction_read_only" if match["session"] else TRANSACTION_READ_ONLY
        return SetStatement("SET", name if mode else "", mode, local=not match["session"])
    match = _SET.fullmatch(text)
    if match is not None:
        name = match["name"] or ("TimeZone" if match["zone"] else "client_encoding")
        if name.lower() in SETTINGS or _foreign(name):
            return None
        parts = [_unquoted(part) for part in re.findall(_VALUE, match["value"])]
        local = (match["kind"] or "").lower() == "local"
        return SetStatement("SET", name, ", ".join(parts), local)
    match = _SHOW.fullmatch(text)
    if match is None:
        return None
    name = match["name"] or ("TimeZone" if match["zone"] else "transaction_isolation")
    word = match["word"].upper()
    if word == "RESET" and name.lower() == "all":
        return SetStatement("RESET", "")
    return None if name.lower() not in _NAMES else SetStatement(word, name)


def read_mode(sql: str) -> str:
    """``on`` for READ ONLY, ``off`` for READ WRITE among the modes of a transaction; empty for neither."""
    modes = _READ_MODE.findall(sql)
    return "" if not modes else "on" if modes[-1].lower() == "only" else "off"


def _foreign(name: str) -> bool:
    """Whether a name is nestvec's to refuse or take."""
    return "." in name


def _unquoted(text: str) -> str:
    if text.startswith("'"):
        return text[1:-1].replace("''", "'")
    return text.strip('"')


def _checked(name: str, value: str) -> str:
    """A value as it is kept. Raises PgError."""
    if len(value) > _MAX_VALUE:
        raise PgError("22023", f'the value of parameter "{name}" is longer than {_MAX_VALUE} characters')
    if name == "client_encoding":
        if value.lower().replace("-", "").replace("_", "") not in ("utf8", "unicode"):
            raise PgError(
                "22023",
                f'invalid value for parameter "client_encoding": "{value}"',
                hint="The server speaks UTF8 only.",
            )
        return "UTF8"
    fixed = _FIXED.get(name)
    if fixed is not None and value.lower() not in fixed:
        raise PgError("0A000", f'parameter "{name}" is always {fixed[0]}')
    if name == "search_path" and not _SCHEMA.search(value):
        raise PgError("0A000", "search_path always has the schema public", hint="All collections are in it.")
    if name.endswith("_read_only"):
        if value.lower() not in _BOOLEANS:
            raise PgError("22023", f'parameter "{name}" requires a Boolean value')
        return _BOOLEANS[value.lower()]
    if name == "TimeZone" and value.lower() not in _UTC:
        raise PgError(
            "0A000",
            "TimeZone is always UTC",
            hint="Write times with their offset, and convert what is read in the client.",
        )
    if name == "DateStyle":
        if "iso" not in value.lower() and not re.fullmatch(r"(?i)[mdy]{3}|us|european", value.strip()):
            raise PgError("0A000", "DateStyle is always ISO", hint="Dates are written as 2026-01-31.")
        return "ISO, DMY" if "dmy" in value.lower() else "ISO, MDY"
    if name.endswith("_timeout") and _seconds(value) is None:
        raise PgError("22023", f'invalid value for parameter "{name}": "{value}"')
    return value


def _seconds(value: str) -> float | None:
    match = _DURATION.fullmatch(value.strip().lower())
    return float(match[1]) * _UNITS[match[2] or ""] if match else None
