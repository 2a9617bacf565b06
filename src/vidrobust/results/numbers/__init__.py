"""From rows to numbers: surfaces, fits, intervals, curves, comparisons, costs, and the verdicts on the claims."""
