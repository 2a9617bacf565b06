"""What is certain of a model's answers: a certificate a file, values that are called with a model and clips."""
