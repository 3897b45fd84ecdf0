"""Saved files: the container, and what networks, trainers and estimators keep in it."""
