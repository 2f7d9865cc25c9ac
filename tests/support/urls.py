"""URLs as viewers, careless and hostile clients send them: request targets as bytes, always the same ones."""

from __future__ import annotations

import random
from typing import Final

from tests.support.served_tree import INSTANCE, SERIES

TOKEN: Final = "abcdefghijklmnopqrstuvwxyz234567"
WORD: Final = "0123456789abcdef" * 2

KEYS: Final = (
    "studies", "studies/1.2/series", "studies/1.2/instances", "studies/1.2/metadata", "studies/1.2/thumbnail",
    *(f"{SERIES}/{leaf}" for leaf in ("instances", "metadata", "thumbnail", "frame-index")),
    INSTANCE,
    *(f"{INSTANCE}/{leaf}" for leaf in ("metadata", "thumbnail", "rendered", "frames/1", "frames/12")),
    *(f"{INSTANCE}/{leaf}" for leaf in ("reduced/2/frames/1", "bulkdata/00420011", "bulkdata/00081199/1/00420011")),
    "studies/1.20/metadata", "studies/1.20/series", f"{TOKEN}/studies", f"{TOKEN}/{INSTANCE}/frames/1",
    f"{TOKEN}/studies/1.2/metadata",
)  # fmt: skip
"""Keys of the format, and some below a service root of one study."""

TRAPS: Final = (
    f"pending/{WORD}", f"{TOKEN}/pending/{WORD}", "secret", "studies/.index.json.part", "studies/1.2/.metadata.part",
    "studies/1.2/notes", f"{INSTANCE}/.metadata.part", f"{INSTANCE}/frames/.1.part", ".claims", "probe/1",
    "short/studies/index.json", f"{TOKEN}/{TOKEN}/studies/index.json", "studies/1.2/index.json", "Studies/index.json",
    "studies/1.2/Metadata",
)  # fmt: skip
"""Files of a tree that no URL names."""

_DIGEST: Final = "0123456789abcdef"
SITE_KEYS: Final = (
    "index.html", "study-page.js", "study-page.css", "study-list.js", "service.js", "app-config.js", "stillframe.js",
    "basic", "basic-test", "dev", "dynamic-volume", "local", "localbasic", "microscopy", "notfoundserver",
    "notfoundstudy", "segmentation", "tmtv", "usAnnotation", "viewer", "worklist", f"ohif/{_DIGEST}/app.bundle.js",
    f"ohif/{_DIGEST}/a/x~1@2.js", f"ohif/{_DIGEST}/assets/favicon.ico", f"ohif/{_DIGEST}/37fa160cc3a47cfd.wasm",
)  # fmt: skip
"""Keys of the site beside an archive."""

SITE_TRAPS: Final = (
    f"ohif/{_DIGEST}/app.bundle.js.gz", f"ohif/{_DIGEST}/.hidden", "ohif/0123/app.js", "viewer.html", "study-page.html",
    "index.htm", "Viewer", ".index.html.part", "app.js", ".git/config",
)  # fmt: skip
"""Files beside a site that no URL names."""

_SEGMENTS: Final = (
    b".", b"..", b"...", b"", b"%2e", b"%2E%2e", b".%2e", b"%2e.", b"%252e%252e", b"%c0%ae%c0%ae", b"..%2f", b"..%5c",
    b"..\\", b"%00", b"\0", b";", b"..;", b"~", b"index.json", b"index.dcm", b".1.part", b"studies", b"pending",
    b"1.20", b"1.2", TOKEN.encode(), b"x",
)  # fmt: skip
_ENDS: Final = (
    b"/", b"//", b"/.", b"/..", b"/./", b"%2f", b"%2F", b"%5c", b"\\", b"%00", b"\0", b"%0a", b"%0d%0a", b"%09",
    b"\t", b" ", b"%20", b"+", b".", b"..", b";", b";a=1", b"~", b"%", b"%2", b"%zz", b"%ff", b"\xff", b"%e2%80%ae",
    b"\xc3\xa4", b"%7f", b"\x7f", b"\x01", b"#", b"#a", b"#?a", b"%23", b"%3f", b"%3Fa", b"?", b"?a=1", b"?/../x",
    b"??", b"?%00", b"?%zz", b"?#a", b"?limit=101&offset=0", b"/?a", b"//?a", b"/.?a", b"/index.json", b"/index.dcm",
    b".json", b".dcm", b"/.part", b",2", b"/1", b"/rendered", b"/metadata", b"%E2%82%AC", b"%ed%a0%80",
    b"%f4%90%80%80", b"%EF%BC%8F", b"*", b":80", b"'", b'"',
)  # fmt: skip
_STARTS: Final = (
    b"/dicomweb/", b"/dicomweb//", b"//dicomweb/", b"/./dicomweb/", b"/x/../dicomweb/", b"/dicomweb/./",
    b"/dicomweb/x/../", b"/dicomweb/" + TOKEN.encode() + b"/", b"/dicomweb/" + TOKEN.encode() + b"/../",
    b"/dicomweb/short/", b"/DICOMweb/", b"/dicomweb%2f", b"/%64icomweb/", b"/dicomweb\\", b"dicomweb/", b"", b"/",
    b"http://127.0.0.1/dicomweb/", b"https://x/dicomweb/", b"HTTP://127.0.0.1:80/dicomweb/", b"//127.0.0.1/dicomweb/",
    b"*/dicomweb/", b"/dicomweb/../", b"/dicomweb/%2e%2e/dicomweb/", b"/.stillframe/", b"/.stillframe/frame/",
    b"/dicomweb/pending/../", b"/dicomweb;/", b"/\xff/../dicomweb/", b"http:/dicomweb/", b"http:///dicomweb/",
    b"/dicomweb/studies/../",
)  # fmt: skip
_LENGTHS: Final = (1, 63, 64, 65, 255, 256, 800, 1024, 1025, 2000, 4096, 5000, 9000, 33_000, 70_000)


def make_urls(count: int) -> list[bytes]:
    """At least `count` different request targets, without line ends, which end a request line."""
    urls = dict.fromkeys([*_listed(), *_listed_of_the_site(), *_long()])
    source = random.Random(11)
    while len(urls) < count:
        urls[_changed(source)] = None
    return list(urls)


def _listed() -> list[bytes]:
    keys = [*KEYS, *TRAPS, "", "STUDIES", "studies/1.2", SERIES, "studies/1..2/series", "studies/01/series"]
    starts = [start + key.encode() for start in _STARTS for key in ("studies", "studies/1.2/metadata", KEYS[-2])]
    ends = [
        b"/dicomweb/" + key.encode() + end for key in ("studies", "studies/1.2/metadata", INSTANCE) for end in _ENDS
    ]
    return [b"*", b"/dicomweb", b"/dicomweb?a", *(b"/dicomweb/" + key.encode() for key in keys), *starts, *ends]


def _listed_of_the_site() -> list[bytes]:
    paths = [b"/" + key.encode() for key in (*SITE_KEYS, *SITE_TRAPS)]
    starts = [start + key for start in _STARTS for key in (b"viewer", b"index.html", SITE_KEYS[-1].encode())]
    ends = [path + end for path in (b"", b"/viewer", b"/dicomweb", b"/" + SITE_KEYS[-4].encode()) for end in _ENDS]
    long = [b"/ohif/" + _DIGEST.encode() + b"/" + b"a" * length for length in _LENGTHS]
    return [b"/", *paths, *starts, *ends, *long]


def _long() -> list[bytes]:
    made = []
    for length in _LENGTHS:
        made += [b"/dicomweb/studies?" + b"a" * min(length, 30_000), b"/dicomweb/studies" + b"/" * length]
        made += [b"/dicomweb/" + b"a" * length + b"/studies", b"/dicomweb/studies/" + b"1" * length + b"/metadata"]
        made += [b"/dicomweb/" + INSTANCE.encode() + b"/bulkdata/" + b"A" * length]
        made += [b"/dicomweb/" + INSTANCE.encode() + b"/bulkdata" + b"/AB" * (length // 3), b"/" + b"." * length]
        made += [b"/dicomweb/studies/1.2/" + b"../" * (length // 3) + b"metadata"]
        made += [b"/dicomweb/" + b"%73tudies/%31.2/metadata"[: length % 25], b"%2e" * (length // 3)]
    return made


def _changed(source: random.Random) -> bytes:
    """A key's URL, changed up to three times: most such URLs are no key's any more, and some still are."""
    if source.random() < 0.2:
        url = b"/" + source.choice(SITE_KEYS).encode()
    else:
        url = source.choice(_STARTS if source.random() < 0.3 else _STARTS[:1]) + source.choice(KEYS).encode()
    for _ in range(source.randint(0, 3)):
        url = source.choice(_CHANGES)(url, source)
    return url


def _insert_segment(url: bytes, source: random.Random) -> bytes:
    parts = url.split(b"/")
    parts.insert(source.randint(1, len(parts)), source.choice(_SEGMENTS))
    return b"/".join(parts)


def _replace_segment(url: bytes, source: random.Random) -> bytes:
    parts = url.split(b"/")
    parts[source.randrange(len(parts))] = source.choice(_SEGMENTS)
    return b"/".join(parts)


def _encode(url: bytes, source: random.Random) -> bytes:
    if not url:
        return url
    at = source.randrange(len(url))
    code = f"%{url[at]:02x}" if source.random() < 0.5 else f"%{url[at]:02X}"
    return url[:at] + code.encode() + url[at + 1 :]


def _change_byte(url: bytes, source: random.Random) -> bytes:
    at = source.randint(0, len(url))
    byte = source.choice([byte for byte in range(256) if byte not in b"\r\n"])
    return url[:at] + bytes([byte]) + url[at + source.randint(0, 1) :]


def _change_case(url: bytes, source: random.Random) -> bytes:
    at = source.randint(0, len(url))
    return url[:at] + url[at : at + 1].swapcase() + url[at + 1 :]


def _end(url: bytes, source: random.Random) -> bytes:
    return url + source.choice(_ENDS)


_CHANGES: Final = (_insert_segment, _replace_segment, _encode, _encode, _encode, _change_byte, _change_case, _end, _end)
