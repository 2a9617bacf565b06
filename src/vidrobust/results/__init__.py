"""All that is right of the rows on disk: numbers, published numbers, figures, pages and exports.

Imports notation and runs alone; no torch.
"""
