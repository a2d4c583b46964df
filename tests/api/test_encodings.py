"""What is the same for everybody is sent compressed to whoever takes it so, and once."""

import gzip

import aiohttp
import pytest

from dispatcher.web.encodings import takes_gzip
from tests.web.client import Api

PATHS = (
    "/static/vendor/swagger-ui-bundle.js",
    "/static/vendor/swagger-ui.css",
    "/static/docs.js",
    "/banner/v1.js",
    "/v1/openapi.json",
)


@pytest.mark.parametrize(
    ("accepted", "taken"),
    [
        ("gzip", True),
        ("br;q=1.0, GZIP;q=0.8, *;q=0.1", True),
        ("deflate, gzip", True),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip ; q=0.000, *", False),
        ("*;q=0", False),
        ("identity", False),
        ("br", False),
        ("xgzip", False),
        ("gzip;q=much", False),
        ("gzip;q=1.2.3", False),
        (", ,;", False),
        ("", False),
    ],
)
def test_who_takes_gzip(accepted: str, *, taken: bool) -> None:
    assert takes_gzip(accepted) == taken


async def test_each_coding_is_the_same_text_with_a_tag_of_its_own(anonymous: Api) -> None:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        api = Api(session, anonymous.base, {})
        for path in PATHS:
            plain = await api.get(path, **{"Accept-Encoding": "identity"})
            zipped = await api.get(path, **{"Accept-Encoding": "gzip"})
            assert "Content-Encoding" not in plain.headers
            assert zipped.headers["Content-Encoding"] == "gzip"
            assert gzip.decompress(zipped.body) == plain.body
            assert len(zipped.body) < len(plain.body), path
            assert plain.headers["ETag"] != zipped.headers["ETag"]
            assert plain.headers["Content-Type"] == zipped.headers["Content-Type"]
            for answer, coding, other in (
                (plain, "identity", zipped),
                (zipped, "gzip", plain),
            ):
                assert answer.headers["Vary"] == "Accept-Encoding"
                asked = {"Accept-Encoding": coding, "If-None-Match": answer.headers["ETag"]}
                again = await api.get(path, **asked)
                assert (again.status, again.body) == (304, b"")
                for name in ("ETag", "Vary", "Cache-Control"):
                    assert again.headers[name] == answer.headers[name]
                asked = {"Accept-Encoding": coding, "If-None-Match": other.headers["ETag"]}
                assert (await api.get(path, **asked)).body == answer.body
        bundle = await api.get(PATHS[0], **{"Accept-Encoding": "gzip"})
        assert len(bundle.body) < 500_000
