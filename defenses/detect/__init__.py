"""Detectors: images to a score, higher is more suspect."""
