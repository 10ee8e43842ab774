"""Leak audit: can two sets of image files be told apart without looking at the picture?

Detectors of fakes have been format classifiers in disguise: real images came as JPEG and fakes as PNG, or of another
size. So format, size, JPEG grid, border and metadata alone must be at chance before a detector's number means
anything: each by itself, and all together in a classifier that is scored on files it has not seen. The compressed size
of a file is left out: with one encoder for both sets it measures texture, which is the picture.

Grommelt et al. 2024, "Fake or JPEG?", arXiv 2403.17608, on what such bias does to published detectors. A JPEG of the
past shows in coefficients that quantisation made zero on its own grid alone, as in Fan & de Queiroz 2003 (IEEE TIP
12:230).
"""

import io
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.fft import dctn
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from advgen.core.errors import BadArgument
from advgen.experiments.curves import Area, auc

FEATURES = ("format", "colours", "width", "height", "quality", "grid", "border", "metadata")
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
FOLDS = 5
_BLOCK = 8
_SHIFTS = ((4, 4), (3, 5), (5, 3), (2, 6), (6, 2))  # grids that no JPEG has
# Share of small coefficients above that of shifted grids that JPEG alone reaches: avatars, samples of a generator and
# photographs lie below 0.12, JPEG 95 of avatars above 0.22, published LFW photographs above 0.18.
_NEVER_JPEG = 0.15
# What Pillow reports of the container itself, which the format tells already.
_CONTAINER = ("jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi", "adobe", "adobe_transform", "progression")


class LeakAudit(NamedTuple):
    """Areas under the ROC curve: the chance that a fake file has more of it than a real one; 0.5 is no leak."""

    features: Mapping[str, Area]
    together: Area  # of a classifier of all of them, on files that it was not fitted on
    real: int
    fake: int


def leak_audit(real: Sequence[bytes], fake: Sequence[bytes], *, seed: int = 0) -> LeakAudit:
    """Audits the bytes of image files, ten or more of each kind.

    Raises:
        BadArgument: fewer files.
    """
    if min(len(real), len(fake)) < 2 * FOLDS:
        raise BadArgument(
            f"a leak audit needs {2 * FOLDS} files or more of each kind, got {len(real)} real, {len(fake)} fake."
        )
    rows = np.array([features_of(data) for data in (*real, *fake)])
    is_fake = np.arange(len(rows)) >= len(real)
    areas = {name: auc(rows[~is_fake, k], rows[is_fake, k]) for k, name in enumerate(FEATURES)}
    classifier = make_pipeline(StandardScaler(), LogisticRegression())
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    scores = cross_val_predict(classifier, rows, is_fake, cv=folds, method="decision_function")
    if (rows == rows[0]).all():
        scores = np.zeros(len(rows))  # folds that differ by a file differ in their constant alone
    return LeakAudit(areas, auc(scores[~is_fake], scores[is_fake]), len(real), len(fake))


def features_of(data: bytes) -> tuple[float, ...]:
    """One number for each of `FEATURES`, of the bytes of an image file."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        about = [key for key in image.info if key not in _CONTAINER]
        tables = getattr(image, "quantization", None) or {}
        quality = -float(np.mean([np.mean(table) for table in tables.values()])) if tables else 0.0
        grey = np.asarray(image.convert("L"), float)
        return (
            float(FORMATS.index(str(image.format))),
            float(len(image.getbands())),
            float(image.width),
            float(image.height),
            quality,
            jpeg_grid(grey),
            flat_border(grey),
            float(len(about)),
        )


def jpeg_grid(grey: np.ndarray) -> float:
    """How strongly the 8x8 grid of a past JPEG shows in a picture (H, W) of grey levels; 0 where it does not."""
    return max(0.0, _small(grey, 0, 0) - float(np.mean([_small(grey, *shift) for shift in _SHIFTS])) - _NEVER_JPEG)


def _small(grey: np.ndarray, down: int, across: int) -> float:
    """Share of the coefficients of 8x8 blocks, the mean left out, that are under one grey level; 0 without a block."""
    shifted = grey[down:, across:]
    height, width = (side // _BLOCK for side in shifted.shape)
    if not height * width:
        return 0.0
    blocks = shifted[: height * _BLOCK, : width * _BLOCK].reshape(height, _BLOCK, width, _BLOCK)
    coefficients = np.abs(dctn(blocks, axes=(1, 3), norm="ortho")).transpose(0, 2, 1, 3).reshape(-1, _BLOCK**2)
    return float((coefficients[:, 1:] < 1).mean())


def flat_border(grey: np.ndarray) -> float:
    """Rows and columns at the edges that hold one grey level, as a share of the side: letterboxes and frames."""
    found = 0
    for rows in (grey, grey[::-1], grey.T, grey.T[::-1]):
        flat = rows.max(1) == rows.min(1)
        found += len(rows) if flat.all() else int(flat.argmin())
    return found / (2 * (grey.shape[0] + grey.shape[1]))
