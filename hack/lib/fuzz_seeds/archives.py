"""Archives in each dialect of tar."""

import io
import tarfile

LONG = "a/" * 60 + "name"


def block(name, flag, size=0, magic=b"ustar\x0000", link=b"", fields=()):
    """One header block. Fields are pairs of an offset and bytes."""
    header = bytearray(512)

    def put(at, value):
        header[at:at + len(value)] = value

    put(0, name)
    put(100, b"0000755\0" b"0001750\0" b"0001750\0" + b"%011o\0" % size + b"14000000000\0" b"        ")
    put(156, flag)
    put(157, link)
    put(257, magic)
    for at, value in fields:
        put(at, value)
    put(148, b"%06o\0 " % sum(header))
    return bytes(header)


def padded(body):
    return body + bytes(-len(body) % 512)


def record(key, value):
    length = len(key) + len(value) + 3
    length += next(digits for digits in range(1, 9) if len(str(length + digits)) == digits)
    return b"%d %s=%s\n" % (length, key, value)


def pax(records, flag=b"x"):
    body = b"".join(record(key, value) for key, value in records)
    return block(b"pax", flag, len(body)) + padded(body)


def by_tarfile(dialect):
    """A few entries of each type, as Python writes them."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=dialect) as tar:
        for name, flag, link in [
            ("d", tarfile.DIRTYPE, ""),
            ("d/f", tarfile.REGTYPE, ""),
            ("l", tarfile.SYMTYPE, "d/f"),
            ("h", tarfile.LNKTYPE, "d/f"),
            ("p", tarfile.FIFOTYPE, ""),
            ("c", tarfile.CHRTYPE, ""),
        ]:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.mode, entry.mtime = flag, link, 0o4755, 1_500_000_000
            entry.size = 3 if flag == tarfile.REGTYPE else 0
            tar.addfile(entry, io.BytesIO(b"abc"))
    # Without the zeros that fill a record of tape.
    return padded(archive.getvalue().rstrip(b"\0")) + bytes(1024)


def archives():
    gnu = b"ustar  \0"
    name = LONG.encode()
    yield from ((name, by_tarfile(dialect)) for name, dialect in [
        ("ustar", tarfile.USTAR_FORMAT), ("gnu", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT)])
    yield "v7", block(b"d/", b"\0", magic=b"") + block(b"d/f", b"\0", 3, magic=b"") + padded(b"abc")
    yield "prefix", block(b"name", b"0", 3, fields=[(345, b"a/b")]) + padded(b"abc")
    yield "long", (block(b"././@LongLink", b"K", len(name) + 1, gnu) + padded(name + b"\0")
                   + block(b"././@LongLink", b"L", len(name) + 1, gnu) + padded(name + b"\0") + block(b"l", b"2", magic=gnu))
    yield "base-256", block(b"f", b"0", 0, gnu, fields=[
        (108, b"\x80\0\0\0\0\0\x10\0"), (124, b"\x80" + bytes(10) + b"\3"), (136, b"\xff" * 12)]) + padded(b"abc")
    yield "records", pax([(b"path", name), (b"mtime", b"1500000000.25"), (b"uid", b"3000000"), (b"gid", b"5"), (b"size", b"3"),
                          (b"SCHILY.xattr.user.a", b"\n11 size=99\n")]) + block(b"f", b"0", 0) + padded(b"abc")
    yield "link-record", pax([(b"linkpath", name)]) + block(b"l", b"2")
    yield "global", pax([(b"comment", b"c")], b"g") + block(b"f", b"0", 3) + padded(b"abc") + bytes(1024)
    parts = b"".join(b"%011o\0" % number for number in [0, 512, 4096, 3, 8192, 0])
    yield "old-sparse", (block(b"s", b"S", 515, gnu, fields=[(386, parts), (482, b"\1"), (483, b"%011o\0" % 8192)])
                         + bytes(512) + padded(b"a" * 515))
    yield "sparse-0.0", pax([(b"GNU.sparse.size", b"9000"), (b"GNU.sparse.numblocks", b"1"), (b"GNU.sparse.offset", b"4096"),
                             (b"GNU.sparse.numbytes", b"3")]) + block(b"s", b"0", 3) + padded(b"abc")
    yield "sparse-0.1", pax([(b"GNU.sparse.size", b"9000"), (b"GNU.sparse.map", b"0,1,4096,2"),
                             (b"GNU.sparse.name", b"true")]) + block(b"s", b"0", 3) + padded(b"abc")
    yield "sparse-1.0", pax([(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", b"true"),
                             (b"GNU.sparse.realsize", b"9000")]) + block(b"s", b"0", 515) + padded(b"1\n4096\n3\n") + padded(b"abc")
