"""Attacks bounded by a learned distance."""
