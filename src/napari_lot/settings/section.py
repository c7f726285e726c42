"""What all sections of the settings have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A section of the settings: values do not change, and unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
