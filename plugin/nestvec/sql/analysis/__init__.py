"""The types of a statement's expressions, as PostgreSQL's parser infers them by its catalogs."""
