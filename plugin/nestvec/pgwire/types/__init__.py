"""PostgreSQL's types: their ids, and values as text and as binary."""
