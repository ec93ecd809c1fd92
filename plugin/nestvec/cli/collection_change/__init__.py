"""Commands that change a collection with its rows: ``embed``, ``alter`` and ``rollback``."""
