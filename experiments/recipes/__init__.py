"""Recipes: how each shipped or trained network came to be."""
