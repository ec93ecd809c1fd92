"""``nestvec sql``: statements and backslash commands, one-shot, from scripts or at a prompt."""
