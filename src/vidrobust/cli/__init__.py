"""The command line: one file a verb, the entry that finds it, and what the terminal shows. May import every room."""
