"""Training: the trainer, its loop and state, evaluation, history, and many networks at once."""
