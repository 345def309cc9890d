"""What `make docs` writes into a page stands between two marks; the rest of the page is written by hand."""

BEGIN, END = "<!-- written by make docs: begin -->\n", "<!-- written by make docs: end -->\n"


def filled(page: str, text: str) -> str:
    """Put a text between the two marks of a page; raises ValueError where it has not both."""
    before, begun, rest = page.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not begun or not ended:
        raise ValueError(f"the page lacks {BEGIN.strip()} or, after it, {END.strip()}")
    return f"{before}{BEGIN}{text}{END}{after}"
