"""Checks that every plug-in must pass, and toys with known answers."""
