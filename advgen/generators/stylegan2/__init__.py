"""StyleGAN2 in plain torch, and a reader of anybody's weight files that runs nothing of them.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (arXiv 1912.04958); Karras et al., "Training
Generative Adversarial Networks with Limited Data" (arXiv 2006.06676) for the layout of networks and files.
"""

from advgen.generators.stylegan2.config import DiscriminatorConfig, GeneratorConfig, widths
from advgen.generators.stylegan2.discriminator import StyleGAN2Discriminator
from advgen.generators.stylegan2.generator import StyleGAN2Generator

__all__ = ["DiscriminatorConfig", "GeneratorConfig", "StyleGAN2Discriminator", "StyleGAN2Generator", "widths"]
