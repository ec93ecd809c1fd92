"""CREATE TABLE, ADD COLUMN and CREATE INDEX, bound to the spec of a collection."""
