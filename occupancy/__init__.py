"""The shared domain: everything that crosses a process boundary. It imports none of the other packages."""

__version__ = "0.1.0"
