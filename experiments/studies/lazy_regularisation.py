"""What lazy regularisation saves, what it costs, and what R1 and path lengths are good for."""

from typing import Any

from advgen.experiments.study import Study, parse

QUESTION = "Does running R1 every 16th and path lengths every 4th step save time without harm, and are they needed?"
DESCRIPTION = (
    "StyleGAN2 at 32 pixels, up to 32 feature maps, on 4,096 plain avatars, three seeds an arm, 8,192 images shown, "
    "all else equal: the paper's intervals (arXiv 1912.04958, appendix B), both penalties at every step, and without "
    "one of them. Judged on 1,024 generated images against the test split; time is the training's own on one core, for "
    "a thousand images. A small and short training: what it decides is the cost, and early quality."
)
IMAGES = 8192
TRAINED = (
    "recipe:stylegan2:data=avatars,size=32,count=4096,images=8192,every=4096,batch_size=16,z_dim=64,w_dim=64,"
    "channel_base=512,channel_max=32,r1_gamma=0.2,r1_every={r1},path_every={path},keep=looks,seed={{seed}}"
)
ARMS = {
    "lazy (16, 4)": (16, 4),
    "every step (1, 1)": (1, 1),
    "no path lengths (16, -)": (16, 0),
    "no R1 (-, 4)": (0, 4),
}


def study() -> Study:
    """Four arms, three seeds."""
    arms = [{"arm": name, "args": {"generator": TRAINED.format(r1=r1, path=path)}} for name, (r1, path) in ARMS.items()]
    measurements = [{"measure": "generator", "args": {"at": IMAGES}, "arms": arms, "seeds": [0, 1, 2]}]
    return parse(
        {
            "name": "lazy_regularisation",
            "question": QUESTION,
            "description": DESCRIPTION,
            "measurements": measurements,
            "claims": _claims(),
        },
        "lazy_regularisation",
    )


def _claims() -> list[dict[str, Any]]:
    lazy = {"arm": "lazy (16, 4)"}
    return [
        {
            "statement": "Lazy penalties take at most 70% of the training time of penalties at every step",
            "quantity": "seconds",
            "of": lazy,
            "versus": {"arm": "every step (1, 1)"},
            "ratio": True,
            "relation": "<",
            "margin": 0.7,
        },
        {
            "statement": "Their FID is at most 1.25 times that of penalties at every step",
            "quantity": "fid",
            "of": lazy,
            "versus": {"arm": "every step (1, 1)"},
            "ratio": True,
            "relation": "<",
            "margin": 1.25,
        },
        {
            "statement": "Without R1 the FID is higher",
            "quantity": "fid",
            "of": {"arm": "no R1 (-, 4)"},
            "versus": lazy,
            "relation": ">",
        },
        {
            "statement": "Without path-length regularisation the path length in w is longer",
            "quantity": "ppl_w",
            "of": {"arm": "no path lengths (16, -)"},
            "versus": lazy,
            "relation": ">",
        },
    ]
