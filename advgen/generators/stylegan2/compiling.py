"""Synthesis through torch.compile: the same images, about two thirds of the time, after some seconds of compiling.

Nothing here needs it. It pays where one shape is asked for hundreds of times (inversion, latent attacks), and it needs
a C++ compiler on a CPU. Images agree to about 1e-6 with those of the plain network.
"""

from advgen.core.device import check_compiler
from advgen.generators.stylegan2.generator import StyleGAN2Generator


def compile_synthesis(generator: StyleGAN2Generator) -> StyleGAN2Generator:
    """The same generator, whose `synthesis` is compiled when it is first asked, once for each shape and noise.

    Weights and their names stay as they are.

    Raises:
        BadArgument: on a CPU without a C++ compiler.
    """
    check_compiler(next(generator.parameters()).device, "the generator")
    generator.synthesis.compile(dynamic=False)
    return generator
