"""SQL types that Milvus does not have: stored by a mapping, compared as stored, read as Python's types.

The SQL type of a column is in the collection's property ``nestvec.type.<column>``.
"""

from nestvec.sqltypes.kinds import SqlType, is_mapped, parse_sql_type, result_type, storage, type_property
from nestvec.sqltypes.values import from_stored, sql_type_of, to_stored

__all__ = [
    "SqlType",
    "from_stored",
    "is_mapped",
    "parse_sql_type",
    "result_type",
    "sql_type_of",
    "storage",
    "to_stored",
    "type_property",
]
