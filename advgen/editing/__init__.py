"""Text meets the latent space: edits of latents by a sentence, for any generator and any CLIP of the protocols."""
