"""What the endpoints are given, and how they answer."""

from __future__ import annotations

from tickfan.api.context import json_response


def test_an_answer_is_json_with_a_line_end_that_no_cache_keeps() -> None:
    """Prices are old at once; a terminal's prompt begins a line of its own."""
    response = json_response({"a": "é"}, 201, {"X-More": "1"})
    assert response.body == '{"a":"é"}\n'.encode()
    assert (response.status, response.content_type) == (201, "application/json")
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-More"] == "1"
