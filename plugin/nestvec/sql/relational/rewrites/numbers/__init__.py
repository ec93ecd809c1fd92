"""Numbers as PostgreSQL computes and writes them."""
