"""From images back to latents, and what is done with latents there."""
