"""What a recipe is for: one module a task, each with `plan`, `run` and `tiny`."""
