"""The protocols by which a generator is judged: modes of a known target, and generated images."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from gancourse import features
from gancourse.data import Images
from gancourse.divergences import Estimate, kl
from gancourse.metrics import density_coverage, frechet_distance, kid, precision_recall
from gancourse.targets import GaussianMixture

RADIUS = 3.0  # standard deviations within which a sample belongs to a mode


@dataclass(frozen=True)
class ModeCoverage:
    """What `mode_coverage` measures.

    modes: number of modes with at least one high-quality sample; high_quality: fraction of samples that are
    of high quality; reverse_kl: in nats, NaN when no sample is.
    """

    modes: int
    high_quality: float
    reverse_kl: float


def mode_coverage(samples: torch.Tensor, target: GaussianMixture) -> ModeCoverage:
    """Count modes hit, the fraction of high-quality samples, and the reverse KL over modes.

    samples: (n, d) floating point, d the target's dimension, n at least the number K of modes (the published
    tables use n = 2500). A sample is of high quality when it lies within three standard deviations of the
    mode nearest to it, distances measured in that mode's standard deviation. A mode counts when it has one.
    The reverse KL is KL(h||w) in nats, where h is the histogram of the *high-quality* samples over the modes,
    normalised over them, and w are the target's weights. A perfect sampler of well-separated modes in two
    dimensions has a high-quality fraction of 1 - exp(-9/2) = 98.89 % and, as h fluctuates, a mean reverse KL
    of (K - 1)/(2n) to first order: 0.00140 on the ring and 0.00480 on the grid at n = 2500. Dropping modes
    costs at least -log of the weight that is left; collapse on one of K equal modes costs log K.

    Raises ValueError for a wrong shape or type, NaN or infinite samples, and fewer samples than modes.
    Source: Lin, Khetan, Fanti and Oh (2018), PacGAN, synthetic experiments; their published code assigns and
    normalises as here. Modes and high-quality samples: Srivastava et al. (2017), VEEGAN.
    """
    if not isinstance(samples, torch.Tensor) or not samples.is_floating_point():
        raise ValueError("samples must be a floating-point torch tensor, one sample a row.")
    modes = len(target.means)
    if samples.ndim != 2 or samples.shape[1] != target.dim:
        raise ValueError(f"samples must have shape (n, {target.dim}), got {tuple(samples.shape)}.")
    if len(samples) < modes:
        raise ValueError(
            f"{len(samples)} samples cannot reach {modes} modes; draw at least {modes}, better 2500."
        )
    samples = samples.detach()
    if not samples.isfinite().all():
        bad = int((~samples.isfinite()).any(dim=1).sum())
        raise ValueError(f"{bad} of {len(samples)} samples are NaN or infinite: did training diverge?")

    gaps = samples.cpu().double()[:, None] - target.means
    distance, nearest = (gaps.norm(dim=2) / target.stds).min(dim=1)
    counts = torch.bincount(nearest[distance <= RADIUS], minlength=modes)
    good = int(counts.sum())
    return ModeCoverage(
        modes=int((counts > 0).sum()),
        high_quality=good / len(samples),
        reverse_kl=kl(counts.double() / good, target.weights) if good else float("nan"),
    )


@dataclass(frozen=True)
class ImageQuality:
    """What `image_quality` measures; printing it gives a table that ends with what it does not compare with.

    samples, reference: numbers of images; classes: how many of the ten are shown.
    """

    samples: int
    reference: int
    frechet: float
    kid: Estimate
    precision: float
    recall: float
    density: float
    coverage: float
    classes: int

    def __str__(self) -> str:
        return "\n".join(
            [
                f"Fréchet distance  {self.frechet:.3f}",
                f"KID               {self.kid.mean:.4f} ± {self.kid.standard_error:.4f}",
                f"precision, recall {self.precision:.3f}, {self.recall:.3f}",
                f"density, coverage {self.density:.3f}, {self.coverage:.3f}",
                f"classes shown     {self.classes}",
                f"{self.samples} samples against {self.reference} images. {features.NOT_INCEPTION}",
            ]
        )


def image_quality(samples: torch.Tensor, reference: Images) -> ImageQuality:
    """All distances between generated images and a data set that need no training set.

    samples: (n, 1, h, w) in [-1, 1]; reference: "digits", "mnist" or "fashion-mnist" from `gancourse.data`,
    whose classifier gives the features. A class is shown when the classifier finds it, at least half as often
    as among the reference images; a smaller share can come from its mistakes alone. Draw the reference at
    random, best from test images: the files are not in random order (the first 5000 images of MNIST's two
    files lie 0.75 apart, random ones 0.12 to 0.21), and the classifier was fitted to the training images.
    Raises ValueError and WeightsError as `gancourse.features.features` and the metrics do.
    """
    (real, real_logits), (fake, fake_logits) = (
        features.activations(images, reference.name) for images in (reference.images, samples)
    )
    real_shares, fake_shares = (
        torch.bincount(logits.argmax(dim=1), minlength=logits.shape[1]) / len(logits)
        for logits in (real_logits, fake_logits)
    )
    return ImageQuality(
        samples=len(samples),
        reference=len(reference),
        frechet=frechet_distance(real, fake),
        kid=kid(real, fake),
        **precision_recall(real, fake)._asdict(),
        **density_coverage(real, fake)._asdict(),
        classes=int(((fake_shares > 0) & (fake_shares >= real_shares / 2)).sum()),
    )
