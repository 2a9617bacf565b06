"""Measurements of speed and memory by one contract: see README.md beside this."""
