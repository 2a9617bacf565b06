"""Certificates: guarantees about predictions, one per file; values that are called with a model and clips."""
