"""Hardenings: training that gives a new target."""
