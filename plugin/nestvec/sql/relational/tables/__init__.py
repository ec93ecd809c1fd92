"""What a plan reads, as tables of DuckDB."""
