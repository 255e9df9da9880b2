"""Messages of several parts, as Python's email library and as DICOMweb servers write them."""

from email.generator import BytesGenerator
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.policy import HTTP
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomslide.sources.http import DamagedAnswerError, Reply
from dicomslide.sources.multipart import Part, parse_content_type, read_parts

URL = "https://example.org/frames/1"
TYPE = 'multipart/related; type="image/jpeg"; boundary="next"'
# Frames that look like what is between them
contents = st.one_of(
    st.binary(max_size=60),
    st.lists(
        st.sampled_from([b"\r\n", b"--", b"next", b"nex", b"\r\n\r\n", b"\r\n--nex", b"-", b"\0"])
    ).map(b"".join),
)
TRICKY = b"\r\n--next\r\n\r\n--next--\r\n"


def write(parts: list[Part], *, lengths: bool = False, preamble: bytes = b"") -> bytes:
    """Write a message as PS3.18 8.6.1.2 describes it."""
    pieces = [preamble]
    for part in parts:
        headers = {"Content-Type": part.content_type, "Content-Location": part.location}
        if lengths:
            headers["Content-Length"] = str(len(part.content))
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value)
        pieces.append(b"--next\r\n" + head.encode() + b"\r\n" + part.content + b"\r\n")
    return b"".join(pieces) + b"--next--\r\n"


def read(body: bytes, content_type: str = TYPE, most: int = 99) -> list[Part]:
    return read_parts(Reply(URL, content_type, body), most)


def ends_early(content: bytes) -> bool:
    return b"\r\n--next" in b"\r\n" + content


class TestParts:
    @given(st.lists(contents, max_size=5))
    def test_parts_with_lengths_may_have_any_content(self, found):
        parts = [Part("image/jpeg", f"{URL}/{n}", content) for n, content in enumerate(found)]
        assert read(write(parts, lengths=True)) == parts

    @given(st.lists(contents.filter(lambda content: not ends_early(content)), max_size=5))
    def test_without_lengths_the_boundary_ends_a_part(self, found):
        parts = [Part("image/jpeg", "", content) for content in found]
        assert read(write(parts)) == parts
        assert read(write(parts, preamble=b"This is MIME.\r\n") + b"That was MIME.") == parts

    @given(st.lists(st.binary(max_size=300), min_size=1, max_size=4))
    def test_messages_of_the_email_library_are_read(self, found):
        message = MIMEMultipart("related")
        for content in found:
            part = MIMEApplication(content, "dicom")
            part["Content-Location"] = URL
            message.attach(part)
        buffer = BytesIO()
        BytesGenerator(buffer, policy=HTTP).flatten(message)
        body = buffer.getvalue().partition(b"\r\n\r\n")[2]
        assert read(body, message["Content-Type"]) == [
            Part("application/dicom", URL, part.as_bytes(policy=HTTP).partition(b"\r\n\r\n")[2])
            for part in message.get_payload()
        ]

    def test_parts_need_no_headers(self):
        assert read(b"--next\r\n\r\none\r\n--next\r\n\r\n\r\n--next--") == [
            Part("", "", b"one"),
            Part("", "", b""),
        ]

    def test_names_of_headers_have_any_case(self):
        body = b"--next\r\nCONTENT-type:a/b;c=d\r\ncontent-LOCATION :\t/x \r\n\r\nz\r\n--next--"
        assert read(body) == [Part("a/b;c=d", "/x", b"z")]

    def test_padding_may_stand_behind_a_boundary(self):
        assert read(b"--next \t\r\nA: b\r\n\r\none\r\n--next--") == [Part("", "", b"one")]

    @pytest.mark.parametrize(
        "content_type", ["image/jpeg", "", "nonsense", "application/json; a=b"]
    )
    @given(body=contents)
    def test_other_messages_are_one_part(self, content_type, body):
        assert read(body, content_type) == [Part(content_type, "", body)]

    @given(st.lists(contents.filter(lambda content: not ends_early(content)), min_size=1))
    def test_boundary_that_is_not_told_is_found(self, found):
        parts = [Part("image/jpeg", "", content) for content in found]
        assert read(write(parts), "multipart/related") == parts

    def test_body_without_any_boundary_is_one_part(self):
        assert read(b"\xff\xd8...", 'multipart/related; type="image/jpeg"') == [
            Part("", "", b"\xff\xd8...")
        ]


class TestDamage:
    PARTS = (
        Part("image/jpeg", f"{URL}/1", b"first"),
        Part("image/jpeg", f"{URL}/2", TRICKY),
        Part("image/jpeg", f"{URL}/3", b"third"),
    )

    @pytest.mark.parametrize("content_type", [TYPE, "multipart/related"])
    def test_message_that_is_cut_anywhere_is_damaged(self, content_type):
        body = write(list(self.PARTS), lengths=True)
        whole = len(body) - len("\r\n")
        assert read(body[:whole], content_type) == list(self.PARTS)
        # What is shorter than the first dashes does not tell that it is multipart
        for length in range(0 if content_type == TYPE else 2, whole):
            with pytest.raises(DamagedAnswerError):
                read(body[:length], content_type)

    @given(
        st.lists(
            st.binary(max_size=20).filter(lambda c: not ends_early(c)), min_size=1, max_size=3
        ),
        st.floats(0, 1, exclude_max=True),
    )
    def test_message_without_lengths_that_is_cut_is_damaged(self, found, share):
        body = write([Part("a/b", "", content) for content in found])[: -len("\r\n")]
        with pytest.raises(DamagedAnswerError):
            read(body[: int(share * len(body))])

    @pytest.mark.parametrize("length", ["4", "6", "0", "100", "1" * 18])
    def test_wrong_length_is_damage(self, length):
        body = f"--next\r\nContent-Length: {length}\r\n\r\nfirst\r\n--next--".encode()
        with pytest.raises(DamagedAnswerError, match=f" {length} bytes"):
            read(body)

    @pytest.mark.parametrize("length", ["", "-5", "5.0", "0x5", "five", "²", "9" * 5000, "1" * 19])
    def test_length_that_is_no_number_is_passed_over(self, length):
        body = f"--next\r\nContent-Length: {length}\r\n\r\nfirst\r\n--next--".encode("latin-1")
        assert read(body) == [Part("", "", b"first")]

    def test_headers_without_an_end_are_damage(self):
        with pytest.raises(DamagedAnswerError, match="headers"):
            read(b"--next\r\n" + b"A: b\r\n" * 5000 + b"\r\nfirst\r\n--next--")

    @pytest.mark.parametrize(("count", "most"), [(2, 0), (3, 1), (50, 48)])
    def test_too_many_parts_are_damage(self, count, most):
        body = write([Part("", "", b"")] * count)
        with pytest.raises(DamagedAnswerError, match=f"more than {most}"):
            read(body, most=most)
        assert len(read(body, most=most + 1)) == count

    def test_message_that_is_not_multipart_is_damaged(self):
        assert read(b"--next--") == []
        for body in (b"", b"<html>Log in</html>", b"next", b"--other\r\n\r\n\r\n--other--"):
            with pytest.raises(DamagedAnswerError):
                read(body)

    @given(body=st.binary(max_size=80), content_type=st.text(max_size=60))
    def test_noise_is_damage_or_parts(self, body, content_type):
        for value in (content_type, f"multipart/{content_type}", f"{TYPE};{content_type}"):
            try:
                parts = read(body, value)
            except DamagedAnswerError:
                continue
            assert all(part.content in body for part in parts)

    @given(st.integers(0, 200), st.binary(min_size=1, max_size=3))
    def test_message_with_one_wrong_byte_is_damaged_or_parts(self, place, noise):
        body = write(list(self.PARTS), lengths=True)
        body = body[:place] + noise + body[place + len(noise) :]
        try:
            parts = read(body)
        except DamagedAnswerError:
            return
        assert all(part.content in body for part in parts)


class TestContentType:
    @pytest.mark.parametrize(
        ("value", "media_type", "parameters"),
        [
            ("image/JPEG", "image/jpeg", {}),
            ("a/b; Transfer-Syntax=1.2.3", "a/b", {"transfer-syntax": "1.2.3"}),
            ('a/b;c="d; e=f";g=h', "a/b", {"c": "d; e=f", "g": "h"}),
            ('a/b; c="d\\"e"', "a/b", {"c": 'd"e'}),
            ("a/b; boundary=a=b", "a/b", {"boundary": "a=b"}),
            ("a/b; c*=utf-8'en'd%20e", "a/b", {"c": "d e"}),
            ("", "text/plain", {}),
            ("no type", "text/plain", {}),
        ],
    )
    def test_content_type_is_split(self, value, media_type, parameters):
        assert parse_content_type(value) == (media_type, parameters)

    @given(st.text(max_size=80))
    def test_noise_in_a_content_type_is_no_error(self, value):
        for text in (value, f"a/b;{value}", f"a/b; boundary*{value}", f"a/b; c*={value}"):
            _, parameters = parse_content_type(text)
            assert all(isinstance(text, str) for text in parameters.values())
