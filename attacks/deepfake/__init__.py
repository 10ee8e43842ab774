"""Deepfakes: one face under the pose and expression of another, with provenance in every file."""
