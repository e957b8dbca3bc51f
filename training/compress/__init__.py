"""Smaller models that hear as well: calibration, quantisation-aware training, pruning, distillation."""
