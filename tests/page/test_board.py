"""What stands on the board, and when it has changed."""

from pipelines.page.board import MOST_PICTURES, Board


def test_only_what_has_changed_is_told():
    """To each browser what it has not seen."""
    board = Board()
    board.put("server", {"ready": True})
    board.put("ended", [])
    seen, parts = board.since(0)
    assert parts == [("server", '{"ready": true}'), ("ended", "[]")]
    board.put("ended", [])
    assert board.since(seen) == (seen, [])
    board.put("ended", [1])
    assert board.since(seen)[1] == [("ended", "[1]")]


def test_pictures_are_bounded():
    """The newest first; of those that have gone nothing is left."""
    board = Board()
    for number in range(MOST_PICTURES + 5):
        board.add_picture({"scan": str(number)}, b"png %d" % number)
    assert board.picture(5) is None
    assert board.picture(6) == b"png 5"
    _, [(_, text)] = board.since(0)
    assert text.startswith(f'[{{"picture": {MOST_PICTURES + 5}, ')
    assert text.count('"picture"') == MOST_PICTURES
