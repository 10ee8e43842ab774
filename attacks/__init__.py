"""Attacks: one file a method."""
