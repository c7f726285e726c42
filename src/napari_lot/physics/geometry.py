"""Rotations of the specimen in front of the beam (Eq. 3).

One frame everywhere: the specimen frame is right-handed x, y, z in Å; the image frame is u along columns, v along rows
(downwards on the screen) and w along the beam, downstream positive; ``[u v w] = R [x y z]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_lot.series.tilt_series import TiltSeries

if TYPE_CHECKING:
    import torch


def rotations(angles_deg: ArrayLike) -> NDArray[np.float64]:
    """Rotation matrices ``R = Rz(phi) Ry(theta) Rx(psi)``, active and right-handed (Eq. 3).

    Parameters
    ----------
    angles_deg : (T, 3)
        psi, theta, phi in degrees about x, y, z.

    Returns
    -------
    (T, 3, 3) float64
    """
    angles = np.deg2rad(np.asarray(angles_deg, np.float64)).reshape(-1, 3)
    (c_psi, c_theta, c_phi), (s_psi, s_theta, s_phi) = np.cos(angles).T, np.sin(angles).T
    zero, one = np.zeros(len(angles)), np.ones(len(angles))
    rx = _matrices([[one, zero, zero], [zero, c_psi, -s_psi], [zero, s_psi, c_psi]])
    ry = _matrices([[c_theta, zero, s_theta], [zero, one, zero], [-s_theta, zero, c_theta]])
    rz = _matrices([[c_phi, -s_phi, zero], [s_phi, c_phi, zero], [zero, zero, one]])
    return rz @ ry @ rx


def turn_axis(rotation: NDArray[np.float64], tilt_axis_deg: float) -> NDArray[np.float64]:
    """The same rotations about an axis turned in the image plane: ``Rz(a) R Rz(-a)``.

    Parameters
    ----------
    rotation : (..., 3, 3) float64
    tilt_axis_deg : float
        Angle of the axis from v (the y axis) in degrees, positive clockwise on the screen, because v points down.

    Returns
    -------
    (..., 3, 3) float64
    """
    turn = rotations([[0.0, 0.0, tilt_axis_deg]])[0]
    return turn @ rotation @ turn.T


def series_rotations(series: TiltSeries) -> NDArray[np.float64]:
    """Rotation matrices of a series, (T, 3, 3) float64: its own or from its angles; tilt axis applied."""
    matrices = rotations(series.angles_deg) if series.rotations is None else np.asarray(series.rotations, np.float64)
    return turn_axis(matrices, series.tilt_axis_deg) if series.tilt_axis_deg else matrices


def rotations_torch(angles_rad: torch.Tensor) -> torch.Tensor:
    """`rotations` for torch: psi, theta, phi in radians, (T, 3) -> (T, 3, 3), differentiable, dtype and device kept."""
    import torch  # here, so that who only needs matrices does not load it

    c_psi, c_theta, c_phi = angles_rad.cos().unbind(-1)
    s_psi, s_theta, s_phi = angles_rad.sin().unbind(-1)
    zero, one = torch.zeros_like(c_psi), torch.ones_like(c_psi)
    rx = _tensors([[one, zero, zero], [zero, c_psi, -s_psi], [zero, s_psi, c_psi]])
    ry = _tensors([[c_theta, zero, s_theta], [zero, one, zero], [-s_theta, zero, c_theta]])
    rz = _tensors([[c_phi, -s_phi, zero], [s_phi, c_phi, zero], [zero, zero, one]])
    return rz @ ry @ rx


def _matrices(rows: list[list[NDArray[np.float64]]]) -> NDArray[np.float64]:
    return np.moveaxis(np.array(rows), -1, 0)


def _tensors(rows: list[list[torch.Tensor]]) -> torch.Tensor:
    import torch

    return torch.stack([torch.stack(row, -1) for row in rows], -2)
