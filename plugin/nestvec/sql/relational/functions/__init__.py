"""Functions of PostgreSQL that DuckDB lacks: macros, and what is computed in Python."""
