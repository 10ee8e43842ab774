"""Defenses: purifiers, detectors and hardenings, one file a method."""
