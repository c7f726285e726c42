"""Writes EMD files as Velox does: stacks [v, u, frame] with the JSON metadata of every frame beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray


def frame_metadata(detector: str, pixel_m: float, alpha_deg: float | None, beta_deg: float = 0.0) -> dict[str, Any]:
    """What Velox says of one frame, numbers as text as there; without a stage where ``alpha_deg`` is None."""
    said: dict[str, Any] = {
        "Acquisition": {"AcquisitionStartDatetime": {"DateTime": "1700000000"}},
        "BinaryResult": {
            "DetectorIndex": "0",
            "PixelSize": {"width": str(pixel_m), "height": str(pixel_m)},
            "PixelUnitX": "m",
            "PixelUnitY": "m",
        },
        "CustomProperties": {},
        "Detectors": {"Detector-0": {"DetectorName": detector, "DetectorType": "ScanningDetector"}},
        "Instrument": {"InstrumentClass": "Spectra"},
        "Optics": {"AccelerationVoltage": "300000"},
        "Scan": {"FrameTime": "2.0"},
    }
    if alpha_deg is not None:
        said["Stage"] = {"AlphaTilt": str(np.deg2rad(alpha_deg)), "BetaTilt": str(np.deg2rad(beta_deg))}
    return said


def write_velox(path: Path, stacks: dict[str, NDArray[Any]], metadata: dict[str, list[dict[str, Any]]]) -> Path:
    """Stacks (T, V, U) by the name of their detector, each with the metadata of its frames."""
    with h5py.File(path, "w") as file:
        file.create_dataset("Version", data=[json.dumps({"format": "Velox", "version": "11"}).encode()])
        for i, (detector, stack) in enumerate(stacks.items()):
            group = file.create_group(f"Data/Image/{i:032x}")
            group.create_dataset("Data", data=np.moveaxis(stack, 0, 2), chunks=(*stack.shape[1:], 1))
            texts = [json.dumps(said).encode() for said in metadata[detector]]
            padded = np.zeros((max(map(len, texts)) + 8, len(texts)), np.uint8)
            for frame, text in enumerate(texts):
                padded[: len(text), frame] = np.frombuffer(text, np.uint8)
            group.create_dataset("Metadata", data=padded)
    return path
