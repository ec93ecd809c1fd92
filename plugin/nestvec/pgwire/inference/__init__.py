"""Types of a statement's parameters, as PostgreSQL's parser infers them."""
