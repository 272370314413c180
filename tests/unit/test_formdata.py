"""Forms with files arrive as they were sent, wherever in 64 KiB their boundaries lie."""

import io
import tracemalloc

import pytest
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge
from werkzeug.test import EnvironBuilder

from services.gateway.formdata import FormRequest

BOUNDARY = "-" * 29 + "7"


def request(body: bytes, boundary: str = BOUNDARY) -> FormRequest:
    return FormRequest(
        EnvironBuilder(
            method="POST", input_stream=io.BytesIO(body), content_type=f"multipart/form-data; boundary={boundary}"
        ).get_environ()
    )


def part(disposition: str, content: bytes) -> bytes:
    return f"--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode() + content + b"\r\n"


def without_body(disposition: str) -> bytes:
    """A part that ends with its header fields, as RFC 2046, 5.1.1 allows."""
    return f"--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode()


def form(*parts: bytes, padding: int = 0) -> bytes:
    """A form as browsers write it, with so many octets before the parts."""
    return b"".join([part('name="padding"', b"x" * padding), *parts, f"--{BOUNDARY}--\r\n".encode()])


@pytest.mark.parametrize("content", [b"", b"\r", b"\r\n", b"\n", b"\r\n--", b"--", b"a\r\n\r", None], ids=repr)
def test_every_file_arrives_wherever_the_boundaries_lie(content):
    names = [f"{i}.txt" for i in range(3)]
    parts = [
        without_body(f'name="files"; filename="{name}"')
        if content is None
        else part(f'name="files"; filename="{name}"', content)
        for name in names
    ]
    for padding in range(2**16 - len(form(*parts)), 2**16 + 1):
        with request(form(*parts, padding=padding)) as got:
            found = [(file.filename, file.read()) for file in got.files.getlist("files")]
        assert found == [(name, content or b"") for name in names]


def test_text_fields_and_files_are_told_apart():
    body = form(
        part('name="to"', b"a@b.example"),
        part('name="to"', "张@b.example".encode()),
        part('name="files"; filename="纪要 %22a%22.pdf"', b"%PDF"),
        part('name="files"; filename=""', b""),
        part('name="large"; filename="large.bin"', b"\0" * 2_000_000),
    )
    with request(body) as got:
        assert got.form.getlist("to") == ["a@b.example", "张@b.example"]
        assert [(file.filename, file.read()) for file in got.files.getlist("files")] == [
            ('纪要 "a".pdf', b"%PDF"),
            ("", b""),
        ]
        assert got.files["large"].read() == b"\0" * 2_000_000


@pytest.mark.parametrize(
    ("body", "boundary"),
    [
        (b"nonsense", BOUNDARY),
        (form(part('name="a"', b"1"))[:-5], BOUNDARY),
        (form(part('name="a"', b"1")), "other"),
        (form(part('name="a"', b"1")), ""),
        (form(f"--{BOUNDARY}\r\nContent-Type: text/plain\r\n\r\n1\r\n".encode()), BOUNDARY),
    ],
    ids=["no form", "cut off", "another boundary", "no boundary", "a part without a name"],
)
def test_what_is_no_form_is_a_bad_request(body, boundary):
    with request(body, boundary) as got, pytest.raises(BadRequest):
        got.form.to_dict()


def test_a_form_has_so_much_text_and_so_many_parts_at_most():
    with request(form(part('name="a"', b"x" * 600), part('name="b"', b"x" * 600))) as text:
        text.max_form_memory_size = 1000
        with pytest.raises(RequestEntityTooLarge):
            text.form.to_dict()
    # octets count, not characters
    with request(form(part('name="a"', "张".encode() * 400))) as text:
        text.max_form_memory_size = 1000
        with pytest.raises(RequestEntityTooLarge):
            text.form.to_dict()
    with request(form(part('name="a"', b"x" * 500), part('name="b"', b"x" * 500))) as exact:
        exact.max_form_memory_size = 1000
        assert len(exact.form["b"]) == 500
    body = form(part('name="a"; filename="a"', b"x" * 600), part('name="b"; filename="b"', b"x" * 600))
    with request(body) as files:
        files.max_form_memory_size = 1000
        assert len(files.files) == 2
    with request(form(*[part('name="a"', b"")] * 10)) as many:
        many.max_form_parts = 10
        with pytest.raises(RequestEntityTooLarge):
            many.form.to_dict()


def test_text_that_is_too_long_is_not_copied_out_of_the_body():
    body = form(part('name="a"', b"x" * 32 * 2**20))
    with request(body) as got:
        got.max_form_memory_size = 1000
        tracemalloc.start()
        try:
            with pytest.raises(RequestEntityTooLarge):
                got.form.to_dict()
            _now, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    # as it was read, and as the decoder keeps it
    assert most < 2.5 * len(body)


@pytest.mark.parametrize(
    "rest", [b"--" + BOUNDARY.encode(), part('name="text"', b"x" * 200)], ids=["torn off", "too much text"]
)
def test_the_files_of_a_form_that_is_refused_are_closed(rest):
    kept = []

    class Request(FormRequest):
        max_form_memory_size = 100

        def _get_file_stream(self, *_: object, **__: object) -> io.BytesIO:
            kept.append(io.BytesIO())
            return kept[-1]

    body = part('name="files"; filename="a.txt"', b"content") + rest
    whole = request(body)
    with pytest.raises((BadRequest, RequestEntityTooLarge)):
        _ = Request(whole.environ).files
    assert [file.closed for file in kept] == [True]
