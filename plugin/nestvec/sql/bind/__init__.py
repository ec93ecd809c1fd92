"""Tree to bound statement: names become columns, constants have types, every part is read or refused."""
