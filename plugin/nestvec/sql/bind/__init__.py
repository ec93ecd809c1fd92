"""Tree to bound statement: names become columns, constants get types, every part is bound or rejected."""
