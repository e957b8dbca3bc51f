"""What a run has to show: report, model card, budget."""
