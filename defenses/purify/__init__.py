"""Purifiers: images to images."""
