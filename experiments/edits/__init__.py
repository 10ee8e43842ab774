"""Edits of portraits, judged by networks that no method sees."""
