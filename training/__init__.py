"""Training: from data files to a model binary. Reads as read, validate, preprocess, search, fit, evaluate, gate, save."""
