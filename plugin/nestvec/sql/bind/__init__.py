"""Tree to bound statement: names are columns, constants have types, nothing is left over."""
