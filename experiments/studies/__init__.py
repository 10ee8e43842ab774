"""Shipped studies."""
