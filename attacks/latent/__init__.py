"""Attacks that move what a generator makes images of: latents, styles, noise, coefficients of directions."""
