"""What is known of atoms besides where they are: error bars, probabilities, heights to expect, tilts that see them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_lot.lot import population
from napari_lot.lot.evidence import existence, prices
from napari_lot.lot.local.atoms_table import OF_STATE, AtomsTable, Rows
from napari_lot.lot.local.metric import Metric
from napari_lot.lot.local.noise import Noise
from napari_lot.lot.local.windows import View
from napari_lot.lot.prior import Prior
from napari_lot.lot.problem import State
from napari_lot.series.tilt_series import TiltSeries
from napari_lot.settings import Settings

Floats = NDArray[np.float64]


class Known:
    """Columns of a table of atoms that no fit gives, and that follow from the atoms and the images."""

    def __init__(
        self, table: AtomsTable, series: TiltSeries, settings: Settings, view: View, metric: Metric, noise: Noise
    ) -> None:
        self.table, self.series, self.settings = table, series, settings
        self.view, self.metric, self.noise = view, metric, noise

    @property
    def one_element(self) -> bool:
        """Whether all atoms are of one element, and so of one height within a scatter."""
        return len(self.settings.model.elements) == 1

    def height_prior(self, state: State) -> Prior | None:
        """What was known of the heights beforehand, in units of the noise: see ``evidence.Evidence.height_prior``."""
        if self.metric.problem.kind == "poisson" or len(self.settings.model.elements) > 1:
            return None
        typical = population.typical_height(state)
        if typical <= 0:
            return None
        scatter = self.settings.solver.height_scatter * typical
        return Prior(typical, (self.noise.inflation / scatter) ** 2)

    def prices(self, state: State) -> Floats:
        """What each atom (N,) must gain in log-likelihood to be believed one."""
        return self.price_of(state.height, state)

    def price_of(self, height: Floats, state: State) -> Floats:
        """The same for heights (N,) beside all atoms."""
        return prices(height, population.typical_height(state), self.settings.solver, self.one_element)

    def rows(self, state: State) -> Rows:
        """Rows of fitted atoms: columns that the fit does not know are as they were, or unknown."""
        rows: Rows = {name: getattr(state, name) for name in OF_STATE}
        at = [np.flatnonzero(self.table.columns["ids"] == i) for i in state.ids]
        for name, values in self.table.columns.items():
            if name in OF_STATE:
                continue
            found = np.zeros((len(state.ids), *values.shape[1:]), values.dtype)
            for row, old in enumerate(at):
                found[row] = values[old[0]] if len(old) else self._unknown(name, state.positions[row])
            rows[name] = found
        return rows

    def _unknown(self, name: str, position: Floats) -> float:
        if name == "tilts_seen":
            seen = self.view.pixels(position[None])[:, 0]
            return int(((seen >= 0) & (seen <= np.array(self.series.images.shape[1:]) - 1)).all(1).sum())
        if name == "p_element" and self.one_element:
            return 1.0
        return np.nan

    def renewed(
        self,
        state: State,
        touched: NDArray[np.int64],
        around: NDArray[np.int64],
        calculated: NDArray[np.float32],
        reach_A: float,
    ) -> tuple[Rows, Rows] | None:
        """Rows of the ``touched`` atoms as they are and with new error bars and probabilities, where these are known.

        ``around`` are these atoms and their neighbours up to ``reach_A``.
        """
        c = self.table.columns
        if "sigma_A" not in c or not len(touched):
            return None
        some = state.select(around)
        joint = self.settings.solver.error_bars != "block"
        variance = np.diagonal(self.metric.covariance(some, calculated, reach_A, joint), axis1=1, axis2=2)
        sigma = self.noise.widening * np.sqrt(np.maximum(variance, 0.0))
        here = np.isin(around, touched)
        before, after = self.table.rows(touched), self.table.rows(touched)
        after["sigma_A"] = sigma[here, :3]
        if "p_exists" in c:
            price = self.price_of(some.height[here], state)
            after["p_exists"] = existence(some.height[here], sigma[here, 3], price)
        return before, after
