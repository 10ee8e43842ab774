"""Attacks on pixels with a fixed budget."""
