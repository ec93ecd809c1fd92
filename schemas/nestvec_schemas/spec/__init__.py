"""The collection spec: a collection with nested vector fields, declared in YAML, parsed and validated."""
