"""PostgreSQL's catalogs: what clients ask to show tables, columns, keys and types."""
