"""Who may look, and who may change something."""

import pytest

from pipelines.page.entry import Entry, token_problem

TOKEN = "0123456789abcdef"


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.7", "::1", "localhost"])
def test_this_machine_needs_no_token(address):
    """Two commands, and a page."""
    assert token_problem(address, None) is None


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "10.0.0.7", "scanner.site"])
def test_all_others_need_one(address):
    """Images are a patient's, even without a name."""
    assert token_problem(address, None) == f"--page-address: {address} can be reached by others; set --page-token"
    assert token_problem(address, TOKEN) is None


@pytest.mark.parametrize("token", ["", "short", "with a space in it", "é" * 20, "x" * 201])
def test_a_token_is_long_and_fits_a_cookie(token):
    """One that can be guessed is none."""
    assert token_problem("127.0.0.1", token).startswith(f"--page-token: {len(token)} characters; 16 to 200 ")


@pytest.mark.parametrize(
    ("host", "may"),
    [("localhost:9004", True), ("127.0.0.1:9004", True), ("[::1]:9004", True), ("localhost", True),
     ("evil.example:9004", False), ("localhost.evil.example", False), ("", False)],
)  # fmt: skip
def test_foreign_names_of_this_machine_are_refused(host, may):
    """A web page elsewhere can let its own name lead to 127.0.0.1, and read what is there."""
    assert Entry(None).may_look({"host": host}, {}) is may


@pytest.mark.parametrize(
    ("headers", "cookies", "may"),
    [({}, {}, False), ({"authorization": f"Bearer {TOKEN}"}, {}, True), ({}, {"kband_page": TOKEN}, True),
     ({"authorization": f"Basic {TOKEN}"}, {}, False), ({"authorization": "Bearer é"}, {}, False),
     ({}, {"kband_page": TOKEN[:-1]}, False), ({"host": "localhost:9004"}, {}, False)],
)  # fmt: skip
def test_the_token_lets_in(headers, cookies, may):
    """As bearer or cookie, whole."""
    assert Entry(TOKEN).may_look(headers, cookies) is may


@pytest.mark.parametrize(
    ("headers", "is_own"),
    [({"host": "here:9004", "origin": "http://here:9004"}, True), ({"host": "here:9004"}, True),
     ({"host": "here:9004", "origin": "http://here:9005"}, False), ({"host": "here:9004", "origin": "null"}, False),
     ({"host": "here:9004", "sec-fetch-site": "cross-site"}, False)],
)  # fmt: skip
def test_another_page_is_told_apart(headers, is_own):
    """It could send our cookie along."""
    assert Entry(TOKEN).comes_from_here(headers) is is_own
