"""Training: what one step minimises, and the loop that steps it."""
