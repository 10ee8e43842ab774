"""Generators: networks that make images from latents, behind the `Generator` protocol of `advgen.core.types`."""
