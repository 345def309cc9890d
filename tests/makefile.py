"""What make reads, as a text, for tests that hold pages and workflows to it."""

from pathlib import Path

FILES = ("Makefile", "images.mk")
TEXT = "".join((Path(__file__).parents[1] / name).read_text("utf-8") for name in FILES)
