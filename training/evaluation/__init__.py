"""What a model is worth: intervals, leaks, long mixtures, curves, noise, engines compared."""
