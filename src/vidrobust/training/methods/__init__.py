"""The training methods, one family per file, and the table that finds the method of a policy."""
