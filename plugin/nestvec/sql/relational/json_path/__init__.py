"""The paths of SQL/JSON as PostgreSQL has them, ``$.a[*] ? (@ > 1)``: tokens, tree, evaluation."""
