"""Whether perceptual path length ranks generators as FID and the distance to real images do."""

from advgen.experiments.study import Study, parse

QUESTION = "Does perceptual path length rank generators as FID and LPIPS to the nearest real image do?"
DESCRIPTION = (
    "Generators of very different quality: StyleGAN2 at 32 pixels on plain avatars, trained for 4, 8, 16 and 24 "
    "thousand images, with and without the penalty on path lengths, two widths, three seeds an arm. Path lengths in w "
    "(ends) and in z (whole paths), arXiv 1812.04948, section 4.1. An arm is one point; Spearman's correlation over "
    "arms."
)
TRAINED = (
    "recipe:stylegan2:data=avatars,size=32,images={images},every=4000,batch_size=16,z_dim=64,w_dim=64,channel_base={base},"
    "channel_max=32,r1_gamma=0.2,path_every={path},seed={{seed}}"
)
IMAGES = (4000, 8000, 16000, 24000)


def study() -> Study:
    """Ten arms, three seeds."""
    arms = [
        {
            "arm": f"{images // 1000}k{'' if path else ', no penalty'}{'' if base == 512 else ', narrow'}",
            "args": {"generator": TRAINED.format(images=images, base=base, path=path)},
        }
        for images, base, path in [
            *((n, 512, 4) for n in IMAGES),
            *((n, 512, 0) for n in IMAGES),
            *((n, 256, 4) for n in IMAGES[1:3]),
        ]
    ]
    return parse(
        {
            "name": "ppl_and_quality",
            "question": QUESTION,
            "description": DESCRIPTION,
            "measurements": [{"measure": "generator", "args": {"size": 32}, "arms": arms, "seeds": [0, 1, 2]}],
            "claims": [
                {
                    "statement": f"Over generators, {name} rises with {other}: Spearman's correlation above 0.5",
                    "of": {},
                    "ranks": [path, quality],
                    "relation": ">",
                    "margin": 0.5,
                }
                for path, name in (("ppl_w", "path length in w"), ("ppl_z", "path length in z"))
                for quality, other in (("fid", "FID"), ("lpips_nearest", "LPIPS to the nearest real image"))
            ],
        },
        "ppl_and_quality",
    )
