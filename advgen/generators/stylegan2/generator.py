"""The StyleGAN2 generator: mapping and synthesis behind the `Generator` protocol (arXiv 1912.04958)."""

from collections.abc import Sequence

from torch import Tensor, nn

from advgen.core.rng import SampleRng
from advgen.generators.stylegan2.config import GeneratorConfig
from advgen.generators.stylegan2.mapping import MappingNetwork
from advgen.generators.stylegan2.synthesis import Noise, SynthesisNetwork


class StyleGAN2Generator(nn.Module):
    """Latents to images; parameter names are those of the official PyTorch program.

    `mapping(z, c=None, *, psi=1.0, cutoff=None)` gives w (N, L, D). `synthesis(w, *, noise="const", rng=None,
    fused=None)` gives images (N, C, R, R), nominally in [0, 1], not clamped; `noise` is "const" (the stored maps),
    "random" (from `rng`, one stream a sample), "none", or a map for each convolution. Under `torch.autocast` features
    are in its type, images stay float32.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.mapping = MappingNetwork(config.z_dim, config.c_dim, config.w_dim, config.num_ws, config.mapping_layers)
        self.synthesis = SynthesisNetwork(config)

    @property
    def z_dim(self) -> int:
        return self.config.z_dim

    @property
    def w_dim(self) -> int:
        return self.config.w_dim

    @property
    def num_ws(self) -> int:
        return self.config.num_ws

    @property
    def c_dim(self) -> int:
        return self.config.c_dim

    @property
    def resolution(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.config.resolution, self.config.resolution

    @property
    def mean_w(self) -> Tensor:
        """(D,), what truncation goes towards."""
        return self.mapping.w_avg

    def forward(self, z: Tensor, c: Tensor | None = None, *, psi: float = 1.0, noise: Noise = "const") -> Tensor:
        """Images from z."""
        return self.synthesis(self.mapping(z, c, psi=psi), noise=noise)

    def styles(self, w: Tensor) -> list[Tensor]:
        """Style vectors, each (N, its input maps): those of the `num_ws - 1` convolutions, then those of ToRGB."""
        return self.synthesis.styles(w)

    def synthesis_from_styles(
        self, styles: Sequence[Tensor], *, noise: Noise = "const", rng: SampleRng | None = None
    ) -> Tensor:
        """Images from what `styles` gave, changed or not."""
        return self.synthesis.from_styles(styles, noise=noise, rng=rng)
