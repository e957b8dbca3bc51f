"""Drivers of sensors. Each asks its chip who it is before anything else."""


class SensorError(Exception):
    """A sensor is not there, is another chip, or is described wrongly; one sentence says what to look at."""
