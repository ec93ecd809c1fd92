"""Output in a terminal: tables, progress and interrupts."""
