"""When a heart is imaged, and how far it has contracted by then."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_EARLY_SHARE, _EARLY_END, _LATE_START = 0.7, 0.45, 0.75  # of the filling, and of diastole


@dataclass(frozen=True)
class BeatSettings:
    """Timing of a gated acquisition (METHODS 13.4).

    rate:         range of the heart rate, beats per minute
    systole:      range of the time of end-systole, share of the beat
    frames:       frames from end-diastole to end-systole, both included
    whole_beat:   go on at the same rate until the beat ends: 20 to 40 frames
    jitter_ms:    deviation of the true moment of a frame from the time that is written
    """

    rate: tuple[float, float] = (50.0, 100.0)
    systole: tuple[float, float] = (0.34, 0.42)
    frames: int = 12
    whole_beat: bool = False
    jitter_ms: float = 4.0


@dataclass(frozen=True)
class Beat:
    """One patient's heart beat.

    times_ms: written times of the frames, from the R wave
    """

    length_ms: float
    systole_ms: float
    times_ms: tuple[float, ...]

    def activation(self, time_ms: float) -> float:
        """0 at end-diastole, 1 at end-systole, smooth; the filling has an early part, a pause and a late part."""
        time_ms %= self.length_ms
        if time_ms <= self.systole_ms:
            return math.sin(math.pi / 2 * time_ms / self.systole_ms) ** 2
        filled = (time_ms - self.systole_ms) / (self.length_ms - self.systole_ms)
        early = _smooth(filled / _EARLY_END)
        late = _smooth((filled - _LATE_START) / (1 - _LATE_START))
        return 1 - _EARLY_SHARE * early - (1 - _EARLY_SHARE) * late


def draw_beat(rng: np.random.Generator, settings: BeatSettings) -> Beat:
    """A patient's heart rate and frame times, in tenths of a millisecond."""
    length = 60_000 / rng.uniform(*settings.rate)
    systole = length * rng.uniform(*settings.systole)
    step = systole / (settings.frames - 1)
    count = int(length / step) if settings.whole_beat else settings.frames
    return Beat(length, systole, tuple(round(step * index, 1) for index in range(count)))


def _smooth(x: float) -> float:
    x = min(max(x, 0.0), 1.0)
    return x * x * (3 - 2 * x)
