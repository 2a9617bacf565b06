"""The numbers of the published figures, to be shown beside a run's own and never as its own."""
