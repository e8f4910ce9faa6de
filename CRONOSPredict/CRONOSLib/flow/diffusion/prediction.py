"""What a denoising network predicts."""

from __future__ import annotations

from enum import Enum

from torch import Tensor


class Prediction(Enum):
    """The goal of the network at z = α x + σ ε; the three are linear in each other at a given z.

    CLEAN: the image x itself: a network that puts out 0 then says "no change", at every level of noise
    NOISE: ε (Ho et al., arXiv 2006.11239)
    V:     α ε − σ x (Salimans & Ho, arXiv 2202.00512)
    """

    CLEAN = "x0"
    NOISE = "eps"
    V = "v"

    def goal(self, clean: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """What the network should put out, of the shape of `clean`; α and σ broadcast against it."""
        if self is Prediction.CLEAN:
            return clean
        return noise if self is Prediction.NOISE else alpha * noise - sigma * clean

    def clean(self, output: Tensor, noisy: Tensor, alpha: Tensor | float, sigma: Tensor | float) -> Tensor:
        """The image x that an output stands for; α and σ broadcast against it."""
        if self is Prediction.CLEAN:
            return output
        if self is Prediction.NOISE:
            return (noisy - sigma * output) / alpha
        return alpha * noisy - sigma * output
