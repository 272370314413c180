from time import process_time

import pytest

from mailrecall.mime import words


@pytest.mark.parametrize(
    ("html", "shown"),
    [
        ("<p>Caf&eacute; <b>to</b>&nbsp;go</p>", "Café to go"),
        ("one<br>two", "one two"),
        ("<head><title>no</title><meta name='>'></head>yes", "yes"),
        ("<head><p>no browser keeps this in the head", "no browser keeps this in the head"),
        ("<script>if (a<b) '</p>'</script>one<STYLE>p > b {}</STYLE>two<style>", "one two"),
        ("<titles>are not titles", "are not titles"),
        ("a < b, <3", "a < b, <3"),
        ("<a title=\"x>y\" href='q>r'>one</a>", "one"),
        ("<p title=don't>this</p><p>isn't cut</p>", "this isn't cut"),
        ("<!-- > -->one<!-->two<!--->three<!-- x --!>four<!-- five", "one two three four"),
        ("<!doctype html>one<?php two ?>three</ >four", "one three four"),
        ("&#115;ecret &#" + "9" * 5_000 + "; &#x73;ecret", "secret \ufffd; secret"),
    ],
)
def test_what_a_reader_sees(html, shown):
    assert " ".join(words.of_html(html).split()) == shown


@pytest.mark.parametrize(
    "piece", ["null<", "<a", "<a ", "<a =", "<a ='", '="', "<!--", "<!", "</", "<script>", "<title/>", "&#", "&#9"]
)
def test_markup_that_does_not_end_takes_no_longer_than_its_length(piece):
    started = process_time()
    words.of_html(piece * (400_000 // len(piece)))
    assert process_time() - started < 2
