"""Numbers about sets of images and about networks."""
