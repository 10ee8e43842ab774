"""Data sets, each a table with stable ids, splits and a content hash."""
