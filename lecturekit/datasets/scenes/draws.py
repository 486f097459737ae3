"""Random numbers that come out the same on every platform and with every numpy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Option = TypeVar("Option")


class Draws:
    """A stream of random numbers named by whole numbers: the same key gives the same numbers everywhere.

    Only the raw bits of PCG64 are used, which numpy keeps for good (NEP 19); its `Generator` may change how
    it turns them into numbers. What is done to them here is exact in IEEE arithmetic.
    """

    def __init__(self, *key: int):
        self._bits = np.random.PCG64(np.random.SeedSequence(key))

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number of ``[low, high)`` from 53 random bits."""
        return low + (high - low) * ((int(self._bits.random_raw()) >> 11) * 2.0**-53)

    def below(self, n: int) -> int:
        """A whole number of ``0 .. n - 1``, each as likely to one part in 2^64 / n."""
        return int(self._bits.random_raw()) * n >> 64

    def chance(self, probability: float) -> bool:
        """True with this probability; 0 is never, 1 is always."""
        return self.uniform() < probability

    def pick(self, options: Sequence[Option], weights: Sequence[float] | None = None) -> Option:
        """One of `options`, all as likely or in proportion to `weights`."""
        if weights is None:
            return options[self.below(len(options))]
        left = self.uniform(0, math.fsum(weights))
        for option, weight in zip(options, weights, strict=True):
            left -= weight
            if left < 0:
                return option
        return options[-1]

    def bells(self, *shape: int) -> np.ndarray:
        """Whole numbers, nearly normal: the sum of four bytes less its mean, spread `BELL` (int64)."""
        count = int(np.prod(shape))
        words = self._bits.random_raw((count + 1) // 2).astype("<u8")  # eight bytes are two numbers
        return words.view(np.uint8).reshape(-1, 4).astype(np.int64).sum(1)[:count].reshape(shape) - 510


#: Standard deviation of `Draws.bells`: four bytes of variance (256^2 - 1) / 12 each.
BELL = math.sqrt(4 * (256**2 - 1) / 12)
