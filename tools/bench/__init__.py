"""What the engine costs a small CPU, and what updates cost on the twin. docs/bench.md has the figures."""
