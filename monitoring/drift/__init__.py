"""Drift: pure functions from records, with the reference that travels with the model, to verdicts."""
