"""How far the tilt axis found lies from the true one, in units of the uncertainty that is said:

    python -m benchmarks.tilt_axis [--draws 24]

Particles of 60 Gaussians, lopsided, tilted about an axis drawn at random, with noise as a part of the brightest pixel;
for each number of tilts and noise: how many draws give an angle, the root mean square of (found - true) / sigma, which
should be 1, the largest, the rms of the error and of sigma in degrees.
"""

from __future__ import annotations

import argparse

import numpy as np

from napari_lot.physics.geometry import series_rotations
from napari_lot.series import TiltSeries
from napari_lot.series.alignment import find_tilt_axis

TILTS = {
    "7 of ±30°": np.arange(-30.0, 31, 10),
    "13 of ±60°": np.arange(-60.0, 61, 10),
    "25 of ±60°": np.arange(-60.0, 61, 5),
}
NOISES = (0.02, 0.04, 0.08, 0.12)
SHAPE, WIDTH_PX = (72, 80), 1.6


def particle(seed: int) -> np.ndarray:
    """Places (60, 3) in pixels."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(60, 3))
    points *= (rng.random(60) ** (1 / 3) / np.linalg.norm(points, axis=1))[:, None]
    return points * 18.0 * np.array([1.0, 0.75, 0.6])


def draw(thetas: np.ndarray, noise: float, seed: int) -> tuple[TiltSeries, float]:
    """A series and the direction of its axis in degrees."""
    rng = np.random.default_rng([seed, len(thetas), round(1000 * noise)])
    axis_deg = float(rng.uniform(-80, 80))
    blank = TiltSeries(rng.random((len(thetas), *SHAPE)), thetas, 0.5, tilt_axis_deg=axis_deg)
    v, u = (np.arange(n) - (n - 1) / 2 for n in SHAPE)
    stack = np.zeros((len(thetas), *SHAPE))
    for image, turn in zip(stack, series_rotations(blank), strict=True):
        for x, y, _ in particle(seed) @ turn.T:
            image += np.outer(np.exp(-0.5 * ((v - y) / WIDTH_PX) ** 2), np.exp(-0.5 * ((u - x) / WIDTH_PX) ** 2))
    stack += noise * stack.max() * rng.normal(size=stack.shape)
    return TiltSeries(stack, thetas, 0.5), axis_deg


def main() -> None:
    """Draw, look for the axis, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=24, help="series for each setting (default 24)")
    options = parser.parse_args()
    everything: list[float] = []
    for name, thetas in TILTS.items():
        for noise in NOISES:
            errors, sigmas = [], []
            for seed in range(options.draws):
                series, axis_deg = draw(thetas, noise, seed)
                found = find_tilt_axis(series)
                if found.told:
                    errors.append((found.angle_deg - axis_deg + 90) % 180 - 90)
                    sigmas.append(found.sigma_deg)
            if not errors:
                print(f"{name}, noise {100 * noise:g} %: told 0 of {options.draws}", flush=True)
                continue
            off = np.array(errors) / np.array(sigmas)
            everything += off.tolist()
            print(
                f"{name}, noise {100 * noise:g} %: told {len(off)} of {options.draws}, rms {rms(off):.2f}, largest "
                f"{np.abs(off).max():.2f}, error {rms(errors):.2f}°, sigma {rms(sigmas):.2f}°",
                flush=True,
            )
    far = np.abs(everything)
    print(
        f"all {len(far)}: rms {rms(everything):.2f}, beyond 2: {(far > 2).mean():.1%}, beyond 3: {(far > 3).mean():.1%}"
    )


def rms(values: object) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(values))))


if __name__ == "__main__":
    main()
