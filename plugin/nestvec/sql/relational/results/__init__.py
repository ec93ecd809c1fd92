"""What PostgreSQL tells of the columns of a result, and DuckDB does not."""
