"""Which keys of which files an export honours, needs not, or refuses: a table for each kind of file."""
