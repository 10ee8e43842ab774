"""Why StyleGAN2 demodulates and does not grow: droplets in feature maps, and details that stick to the screen."""

from typing import Any

from advgen.experiments.study import Study, parse

QUESTION = "Does AdaIN make droplets that demodulation does not, and do details stick in a grown generator?"
DESCRIPTION = (
    "The argument of the StyleGAN2 paper (arXiv 1912.04958, sections 2 and 4) at 32 pixels, three seeds an arm, 8,192 "
    "images shown: AdaIN against demodulation and no normalisation, progressive growing (each size fades in over 1,024 "
    "images, the full size stands alone from 4,096 on) against skip and residual generators of a fixed size. Every "
    "discriminator is of the skip kind, which growing needs. No arm has path-length regularisation: AdaIN's generators "
    "had none, and do not learn under it. Plain avatars, shifted by up to 4 pixels, so that there is a direction of w "
    "that moves the face; it is moved by 4 pixels. The paper sees droplets from 64 pixels up."
)
IMAGES = 8192
TRAINED = (
    "recipe:stylegan2:data=avatars,size=32,count=4096,jitter=4,images=8192,every=4096,batch_size=16,z_dim=64,w_dim=64,"
    "channel_base=512,channel_max=32,r1_gamma=0.2,path_every=0,judging=skip,keep=looks,{changed}seed={{seed}}"
)
ARMS = {
    "demodulation, skip": "",
    "AdaIN, skip": "normalisation=adain,",
    "no normalisation, skip": "normalisation=none,",
    "demodulation, residual": "architecture=resnet,",
    "demodulation, growing": "grow=1024,",
}


def study() -> Study:
    """Five arms, three seeds."""
    arms = [{"arm": name, "args": {"generator": TRAINED.format(changed=changed)}} for name, changed in ARMS.items()]
    return parse(
        {
            "name": "droplets_and_sticking",
            "question": QUESTION,
            "description": DESCRIPTION,
            "measurements": [
                {
                    "measure": "generator",
                    "args": {"at": IMAGES, "jitter": 4, "shift": 4.0},
                    "arms": arms,
                    "seeds": [0, 1, 2],
                }
            ],
            "claims": _claims(),
        },
        "droplets_and_sticking",
    )


def _claims() -> list[dict[str, Any]]:
    base = {"arm": "demodulation, skip"}
    return [
        {
            "statement": "AdaIN's strongest spot stands out of its feature map 1.5 times as far as demodulation's",
            "quantity": "droplets",
            "of": {"arm": "AdaIN, skip"},
            "versus": base,
            "ratio": True,
            "relation": ">",
            "margin": 1.5,
        },
        {
            "statement": "Counted in each map's standard deviations, AdaIN's highest point is further out, too",
            "quantity": "spots",
            "of": {"arm": "AdaIN, skip"},
            "versus": base,
            "relation": ">",
        },
        {
            "statement": "Details follow a moved face less far in a grown generator than in a skip generator",
            "quantity": "following",
            "of": {"arm": "demodulation, growing"},
            "versus": base,
            "relation": "<",
        },
        {
            "statement": "A grown generator has a higher FID than a skip generator",
            "quantity": "fid",
            "of": {"arm": "demodulation, growing"},
            "versus": base,
            "relation": ">",
        },
        {
            "statement": "A residual generator's FID is within 1.5 times a skip generator's",
            "quantity": "fid",
            "of": {"arm": "demodulation, residual"},
            "versus": base,
            "ratio": True,
            "relation": "<",
            "margin": 1.5,
        },
    ]
