"""Programs that show libraries the same readings, each run by the interpreter of the library's own environment."""
