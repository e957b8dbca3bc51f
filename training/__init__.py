"""Training: corpora -> features -> model -> INT8 -> C array, metrics and pictures."""
