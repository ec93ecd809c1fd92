"""Messages of PostgreSQL's protocol, version 3, as bytes and as values: pure functions."""
