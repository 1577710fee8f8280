"""Image -> typical nuclear diameter, before any network has seen it.

Nuclei 5 and 100 pixels across can't both be what a network was trained on; the estimate tells how to rescale. It rests
on how much structure an image has at each scale: moments of differences of Gaussians from a pixel to a hundred, which a
small perceptron (one hidden layer) turns into a diameter. `train/fit/diameter.py` fits it; its weights are saved in
`preprocessor_config.json`.
"""

import numpy as np

from .gaussian import gaussian
from .windows import busiest

SIGMAS = 2.0 ** np.arange(-0.5, 6.6, 0.5)  # pixels; the last is the radius of a nucleus 180 pixels across
MAX_SIDE = 1024  # pixels; of a larger image its most structured window of this side is measured


def scale_features(normalised: np.ndarray) -> np.ndarray:
    """How much structure there is at each scale, and of which sign.

    Args:
        normalised: (H, W, C), float32, from `intensity.normalise`.

    Returns:
        (4 * (len(SIGMAS) - 1),), float32: for each pair of neighbouring scales the log of the standard deviation of
        the difference of Gaussians (less its mean over the scales), its skewness, mean absolute value over standard
        deviation, and log kurtosis. The skewness is turned so that its sum is positive: bright nuclei on a dark ground
        and dark ones on a bright ground give the same features.
    """
    channels = normalised.shape[2]
    smooth = np.clip(normalised[busiest(normalised, MAX_SIDE)], -0.5, 1.5) @ np.full(channels, 1 / channels, np.float32)
    spacing, reached, moments = 1.0, 0.0, []  # pixels of the image to one of `smooth`, and the sigma it has had
    previous = None
    for sigma in SIGMAS:
        smooth = gaussian(smooth, np.sqrt(sigma**2 - reached**2) / spacing, "mirror", 3)
        reached = sigma
        if previous is not None:
            d = (previous - smooth).ravel()
            square = d * d
            rms = np.sqrt(square.mean()) + 1e-4
            skewness = square.dot(d) / d.size / rms**3
            kurtosis = square.dot(square) / d.size / rms**4
            moments.append([np.log(rms), skewness, np.abs(d).mean() / rms, np.log(kurtosis + 1e-2)])
        if sigma / spacing >= 2 and min(smooth.shape) >= 16:  # smooth enough to keep every second pixel
            smooth, spacing = smooth[::2, ::2], spacing * 2
        previous = smooth
    features = np.array(moments, np.float32)
    features[:, 0] -= features[:, 0].mean()
    features[:, 1] *= np.sign(features[:, 1].sum()) or 1
    return features.T.ravel()
