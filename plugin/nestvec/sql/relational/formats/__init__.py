"""PostgreSQL's patterns of to_char(), to_date(), to_timestamp() and to_number()."""
