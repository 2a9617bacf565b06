"""The training methods, one family a file, and the table that finds the method of a policy."""
