"""Synthesis through torch.compile: the same images, about two thirds of the time, after some seconds of compiling.

Nothing here needs it. It pays where one shape is asked for hundreds of times (inversion, latent attacks), and it needs
a C++ compiler on a CPU. Images agree to about 1e-6 with those of the plain network.
"""

import os
import shutil

from advgen.core.errors import BadArgument
from advgen.generators.stylegan2.generator import StyleGAN2Generator

COMPILERS = ("g++", "c++", "clang++")


def compile_synthesis(generator: StyleGAN2Generator) -> StyleGAN2Generator:
    """The same generator, whose `synthesis` is compiled when it is first asked, once for each shape and noise.

    Weights and their names stay as they are.

    Raises:
        BadArgument: on a CPU without a C++ compiler.
    """
    on_cpu = next(generator.parameters()).device.type == "cpu"
    if on_cpu and not any(shutil.which(name) for name in (os.environ.get("CXX"), *COMPILERS) if name):
        raise BadArgument(
            "compiling the generator for a CPU needs a C++ compiler, and none of g++, c++ and clang++ was found; "
            "leave it out, or install one."
        )
    generator.synthesis.compile(dynamic=False)
    return generator
