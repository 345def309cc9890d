"""The loop: from a believable drift to a better model, or to none; it runs the other programs' commands and reads records."""
