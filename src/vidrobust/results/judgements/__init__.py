"""The records of judgements: written once, read, compared, lowered by better attacks and ranked, all without torch."""
