"""HTML that came by mail does nothing but be read."""

from time import process_time

import pytest

from services.gateway.pages.html_mail import clean

FORBIDDEN = ("script", "alert", "evil.example", "onerror", "onclick", "position", "<form", "<iframe", "<style")
PNG = ("image/png", b"\x89PNG")


@pytest.mark.parametrize(
    "html",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<b onclick=alert(1)>x</b>",
        '<a href="javascript:alert(1)">x</a>',
        '<a href=" java\nscript:alert(1)">x</a>',
        '<a href="data:text/html,<script>alert(1)</script>">x</a>',
        "<svg><script>alert(1)</script></svg>",
        "<math><mi//xlink:href='javascript:alert(1)'>",
        "<iframe src='https://evil.example'></iframe>",
        "<form action='https://evil.example'><input name=a></form>",
        "<base href='https://evil.example/'>",
        "<meta http-equiv=refresh content='0;url=https://evil.example'>",
        "<link rel=stylesheet href='https://evil.example/x.css'>",
        "<style>@import url(https://evil.example/x.css)</style>",
        "<p style='background:url(https://evil.example/x.png)'>x</p>",
        "<p style='background-image:url(https://evil.example/x.png)'>x</p>",
        "<p style='list-style:url(https://evil.example/x.png);position:fixed;top:0'>x</p>",
        "<table background='https://evil.example/x.png'></table>",
        "<img srcset='https://evil.example/x.png 1x'>",
        "<video src='https://evil.example/x.mp4' autoplay></video>",
        "<object data='https://evil.example/x'></object>",
        "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    ],
)
def test_what_is_not_for_reading_goes(html: str):
    cleaned = clean(html, {}).html
    for forbidden in (
        "script",
        "alert",
        "evil.example",
        "onerror",
        "onclick",
        "position",
        "<form",
        "<iframe",
        "<style",
    ):
        # a link's text and a title's may hold anything; here they hold nothing of it
        assert forbidden not in cleaned.replace("&lt;img src=x onerror=alert(1)&gt;", "")


def test_text_links_tables_and_colours_stay():
    html = (
        '<table bgcolor="#eee"><tr><td style="color: red"><a href="https://a.example/">a</a> <b>b</b></td></tr></table>'
    )
    cleaned = clean(html, {}).html
    assert 'bgcolor="#eee"' in cleaned
    assert "color:red" in cleaned.replace(" ", "")
    assert 'href="https://a.example/"' in cleaned
    assert 'target="_blank"' in cleaned
    assert "noopener" in cleaned
    assert "noreferrer" in cleaned


def test_pictures_from_elsewhere_wait_until_they_are_asked_for():
    html = '<img src="https://a.example/1.png" alt="one"><img src=" HTTP://a.example/2.png">'
    blocked, shown = clean(html, {}), clean(html, {}, remote=True)
    assert "a.example" not in blocked.html
    assert 'alt="one"' in blocked.html
    assert (blocked.remote_images, shown.remote_images) == (2, 2)
    assert "https://a.example/1.png" in shown.html


def test_pictures_that_came_along_are_shown():
    cleaned = clean(
        '<img src="cid:one"><img src="cid:two"><img src="cid:none">', {"one": PNG, "two": ("text/html", b"x")}
    )
    assert cleaned.html.count("data:image/png;base64,iVBORw==") == 1
    assert "text/html" not in cleaned.html
    assert "cid:" not in cleaned.html
    assert cleaned.remote_images == 0


def test_pictures_that_came_along_are_bounded():
    large = {"big": ("image/png", b"x" * (5 * 1024 * 1024))}
    assert clean('<img src="cid:big">' * 3, large).html.count("data:") == 1


@pytest.mark.parametrize(
    "address", ["data:image/svg+xml;base64,PHN2Zz4=", "data:text/html,x", "file:///etc/passwd", "//a/b"]
)
def test_pictures_of_other_kinds_are_none(address: str):
    assert "src" not in clean(f'<img src="{address}">', {}, remote=True).html


def test_what_a_page_says_of_itself_is_no_text():
    html = "<html><head><title>Report</title><style>p{color:red}</style></head><body><p>Text</p></body></html>"
    assert clean(html, {}).html.strip() == "<p>Text</p>"


@pytest.mark.parametrize(
    "piece", ["<div>", "<i></b>", "<table><a>", "<ruby><rt>", "<b><li>", "<li><dd>", "&", "&amp;", "null<"]
)
def test_mail_takes_no_longer_than_its_length(piece: str):
    started = process_time()
    clean(piece * (600_000 // len(piece)), {})
    assert process_time() - started < 5


def test_mail_that_is_nested_very_deeply_keeps_its_text_and_its_end():
    deep = "<div>" * 5_000 + "<b>here</b>" + "</div>" * 5_000 + "<p>and <b>here</b></p>"
    cleaned = clean(deep, {}).html
    assert "here" in cleaned
    assert cleaned.endswith("<p>and <b>here</b></p>")
    assert 200 < cleaned.count("<div>") < 300


def test_paragraphs_and_cells_that_nobody_closes_are_not_taken_for_deep():
    rows = "<table>" + "<tr><td><p>one<td>two<br>" * 1_000
    assert clean(rows, {}).html.count("<p>one") == 1_000


def test_a_text_in_very_many_pieces_stays_as_it_was():
    text = "a&b & &amp; &lt;" * 1_000
    assert clean(text, {}).html.replace("<!---->", "") == "a&amp;b &amp; &amp; &lt;" * 1_000
