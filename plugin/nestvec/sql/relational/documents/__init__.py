"""Functions over documents of JSON that DuckDB lacks, or computes otherwise than PostgreSQL."""
