import pytest

from docs.splice import BEGIN, END, filled


def test_what_stands_between_the_marks_is_replaced_and_nothing_else() -> None:
    page = f"# By hand\n{BEGIN}old\n{END}the rest\n"
    assert filled(page, "new\n") == f"# By hand\n{BEGIN}new\n{END}the rest\n"


@pytest.mark.parametrize("page", ["", BEGIN, END, END + BEGIN])
def test_a_page_that_lost_a_mark_is_left_alone(page: str) -> None:
    with pytest.raises(ValueError, match="the page lacks"):
        filled(page, "new")
