"""Which text space drives the latent space best: word vectors of two methods and two corpora, or CLIP."""

from typing import Any

from advgen.experiments.study import Study, parse

QUESTION = "Which text space drives latents best: on words of the training, on unseen words, on unseen combinations?"
DESCRIPTION = (
    "A conditional mapper p(w | text) and a joint space of phrases and latents, trained for the shipped generator of "
    "avatars on its own captioned samples and on inverted portraits, one for each text space. On words of the training "
    "random vectors can learn everything; what a text space itself brings shows on words that no caption has. A judge "
    "that no method sees reads the saved bytes. Avatars alone: no pictures of real people stand behind these numbers."
)
TRAINED = "recipe:text_to_latent:vectors={vectors},width=128,epochs=8{more},seed={seed}"
CONDITIONED = (
    "recipe:stylegan2:size=64,count=20000,images=100000,batch_size=16,channel_base=1024,r1_gamma=0.5,precision=bf16,"
    "noise=last,condition=captions,vectors=wikipedia_glove,seed={seed}"
)
OWN_SEED = "{seed}"
GLOVE = "GloVe Wikipedia"
RANDOM = "random vectors"
CLIP = "CLIP"
SHUFFLED = "shuffled captions"
ANY = "any sample"
TOGETHER = "generator and GloVe trained together"
VECTORS = {
    GLOVE: "wikipedia_glove",
    "Word2Vec Wikipedia": "wikipedia_skip_gram",
    "GloVe PubMed": "pubmed_glove",
    "Word2Vec PubMed": "pubmed_skip_gram",
    CLIP: "clip:clip_avatars_64",
    RANDOM: "random:wikipedia_glove",
}
METHODS = {
    "the mapper alone": ("mapper", 1),
    "best of 256 latents": ("best_of", 256),
    "best of 16 images": ("images", 16),
    "captioned samples": ("captioned", 1),
    ANY: ("prior", 1),
}


def study() -> Study:
    """Five text spaces, three controls, choices among samples, and two seeds against each other."""
    return parse(
        {
            "name": "text_to_latent",
            "question": QUESTION,
            "description": DESCRIPTION,
            "measurements": [
                _entry([_arm(GLOVE), _arm(RANDOM), _arm("Word2Vec Wikipedia")], [0, 1, 2]),
                _entry([_arm(CLIP), _arm("GloVe PubMed"), _arm("Word2Vec PubMed")], [0]),
                _entry(
                    [
                        {"arm": SHUFFLED, "args": _map(VECTORS[GLOVE], ",shuffled=true")},
                        *(_chosen(name) for name in METHODS),
                        {"arm": TOGETHER, "args": {"map": CONDITIONED, "method": "together"}},
                        _against(GLOVE),
                        _against(RANDOM),
                    ],
                    [0],
                ),
                _entry([_arm(RANDOM)], [3, 4]),
            ],
            "claims": _claims(),
        },
        "text_to_latent",
    )


def _entry(arms: list[dict[str, Any]], seeds: list[int], label: str = "") -> dict[str, Any]:
    return {
        "measure": "text_to_latent",
        "args": {"images": 8, "fewer": 4},
        "arms": arms,
        "seeds": seeds,
        "label": label,
    }


def _map(vectors: str, more: str = "", seed: str = OWN_SEED) -> dict[str, Any]:
    return {"map": TRAINED.format(vectors=vectors, more=more, seed=seed)}


def _arm(space: str) -> dict[str, Any]:
    # The controls answer for words: fewer prompts of other kinds, five seeds in place of three.
    less = {"prompts": 20, "combinations": 4, "diverse": 0} if space == RANDOM else {}
    return {"arm": space, "args": _map(VECTORS[space]) | {"method": "reranked"} | less}


def _chosen(name: str) -> dict[str, Any]:
    method, candidates = METHODS[name]
    return {"arm": name, "args": _map(VECTORS[GLOVE]) | {"method": method, "candidates": candidates}}


def _against(space: str) -> dict[str, Any]:
    """The same vectors under two seeds: how alike the two maps are."""
    again = _map(VECTORS[space], seed="1")["map"]
    return {"arm": f"{space}, seeds 0 and 1", "args": _map(VECTORS[space]) | {"again": again, "prompts": 0, "fewer": 2}}


def _claims() -> list[dict[str, Any]]:
    def claim(statement: str, quantity: str, of: str, margin: float, versus: str | None = None) -> dict[str, Any]:
        other = {} if versus is None else {"versus": {"arm": versus}}
        return {
            "statement": statement, "quantity": quantity, "of": {"arm": of}, "relation": ">", "margin": margin, **other
        }  # fmt: skip

    words = (GLOVE, "Word2Vec Wikipedia")
    return [
        claim("CLIP: all asked-for things are there in at least 85% of images", "seen", CLIP, 0.85),
        *(claim(f"{w}: they are there in at least 75%, in words of the training", "seen", w, 0.75) for w in words),
        *(claim(f"{w} beats random vectors on unseen words", "synonym", w, 0.0, RANDOM) for w in words),
        claim("Shuffled captions are no better than any sample", "seen", ANY, -0.05, SHUFFLED),
        claim("On words of the training random vectors are as good as GloVe", "seen", RANDOM, -0.05, GLOVE),
        *(claim(f"{s}: faces differ at least 80% as much as samples", "diversity", s, 0.8) for s in (GLOVE, CLIP)),
        claim(
            "GloVe beats the best of 16 generated images, at a sixteenth of the images",
            "seen",
            GLOVE,
            0.0,
            "best of 16 images",
        ),
        claim("The joint space's choice adds to the mapper", "seen", GLOVE, 0.0, "the mapper alone"),
        claim("A generator trained with the phrases does as asked more often", "seen", TOGETHER, 0.0, GLOVE),
    ]
