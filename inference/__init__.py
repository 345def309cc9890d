"""Inference: serves one model, the one it was started with, at POST /predict."""
