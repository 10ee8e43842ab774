"""Encoders of text, one a file: phrases by word vectors, and CLIP, whose texts and images share a space."""
