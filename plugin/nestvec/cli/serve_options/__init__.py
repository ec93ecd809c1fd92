"""The options of ``nestvec serve``, a file for each subject: its arguments, its options, its settings."""
