"""Measures: what is read of trained things, a file each."""
