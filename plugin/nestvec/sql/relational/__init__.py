"""The relational engine: DuckDB over Arrow tables, for statements that Milvus alone cannot carry out.

Imported only by statements that need it: a plain search never loads DuckDB.
"""
