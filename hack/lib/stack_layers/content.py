"""What is in the layers, one function each."""

import tarfile

from lib.stack_layers.layer import noise

# VFS_CAP_REVISION_2 with CAP_NET_RAW permitted and effective (linux/capability.h).
NET_RAW = bytes.fromhex("0100000200200000") + bytes(12)


def plain(layer):
    """Types, modes, owners and times."""
    layer.directory("opt")
    layer.directory("opt/plain", mtime=1000000000)
    layer.file("opt/plain/empty")
    layer.file("opt/plain/text", "first version\n")
    layer.file("opt/plain/large", noise(3 << 20, 1))
    layer.file("opt/plain/unreadable", "secret\n", mode=0)
    layer.file("opt/plain/setuid", "#!/bin/sh\nid\n", mode=0o4755, uid=1000, gid=1000)
    layer.file("opt/plain/setgid", "#!/bin/sh\nid\n", mode=0o2755, gid=33)
    layer.file("opt/plain/nanoseconds", "x", mtime="1600000000.123456789")
    layer.file("opt/plain/epoch", "x", mtime=0)
    layer.file("opt/plain/user", "x", uid=1000, gid=1000)
    layer.file("opt/plain/nobody", "x", uid=65534, gid=65534)
    layer.file("opt/plain/last-id", "x", uid=4294967294, gid=4294967294)
    layer.directory("opt/plain/sticky", mode=0o1777)
    layer.directory("opt/plain/setgid-dir", mode=0o2775, uid=1000, gid=33, mtime="1500000000.5")
    layer.directory("opt/plain/closed", mode=0o500, uid=1000, gid=1000)
    layer.file("opt/plain/closed/inside", "x", mode=0o400, uid=1000, gid=1000)
    layer.directory("opt/plain/old-and-empty", mtime="86400.000000001")
    layer.fifo("opt/plain/fifo", mode=0o620, uid=1000, gid=5, mtime="1400000000.25")
    layer.device("opt/plain/null", tarfile.CHRTYPE, 1, 3)
    layer.device("opt/plain/loop0", tarfile.BLKTYPE, 7, 0)


def links(layer):
    """Hard links and symbolic links."""
    layer.directory("opt/links", mtime="1234567890.987654321")
    layer.file("opt/links/one", "one inode\n", uid=7, mtime="1300000000.000000007")
    layer.hardlink("opt/links/two", "opt/links/one")
    layer.directory("opt/links/deep")
    layer.hardlink("opt/links/deep/three", "opt/links/two")
    layer.file("opt/links/linked-by-a-later-layer", "target\n", mode=0o640, gid=42)
    layer.symlink("opt/links/relative", "one", mtime="1200000000.1", uid=1000, gid=1000)
    layer.symlink("opt/links/absolute", "/opt/links/one")
    layer.symlink("opt/links/dangling", "no/such/file")
    layer.symlink("opt/links/upwards", "../../../../../../etc/passwd")
    layer.symlink("opt/links/to-directory", "deep")
    layer.symlink("opt/links/loop", "loop")
    layer.symlink("opt/links/long", "x" * 300)
    layer.hardlink("opt/links/hard-to-symlink", "opt/links/dangling")


def names(layer):
    """Names that need care, and names too long for the classic header."""
    layer.directory("opt/names")
    for name in (
        "with space", " leading and trailing ", "new\nline", "tab\tbed", "-rf", "--", "quote'\"`", "$(id)", "back\\slash",
        "colon:comma,", "star*?[", "ümläut-日本語-🦀", "e\u0301-combining", "\udcff\udcfe-not-utf8", "...", ".hidden",
        "wh.not-a-whiteout", "x.wh.y", "n" * 255, "o" * 101,
    ):
        layer.file("opt/names/" + name, name.encode("utf-8", "surrogateescape"))
    layer.directory("opt/names/directory with space")
    layer.file("opt/names/directory with space/-f", "x")
    deep = "opt/names"
    for level in range(30):
        deep += f"/level-{level:02}-of-a-deep-path"
        layer.directory(deep)
    layer.file(deep + "/bottom", "deep\n")
    layer.hardlink("opt/names/link-to-bottom", deep + "/bottom")
    layer.symlink("opt/names/symlink-to-bottom", "/" + deep + "/bottom")


def attributes(layer):
    """Extended attributes, on files and directories."""
    layer.directory("opt/xattrs", xattrs={"user.kind": b"directory"})
    layer.file("opt/xattrs/capable", "#!/bin/sh\n", mode=0o755, xattrs={"security.capability": NET_RAW})
    layer.directory("opt/xattrs/capable-directory", xattrs={"security.capability": NET_RAW})
    layer.file("opt/xattrs/text", "x", xattrs={"user.one": b"1", "user.two": "zwei ü".encode()})
    layer.file("opt/xattrs/binary", "x", xattrs={"user.binary": b"\x00\xff\x80\n=\x00"})
    layer.file("opt/xattrs/large", "x", xattrs={"user.large": b"v" * 2000})
    layer.file("opt/xattrs/owned", "x", mode=0o4755, uid=1000, xattrs={"security.capability": NET_RAW})


def victims(layer):
    """What the layers above replace, delete and hide."""
    layer.directory("srv")
    for name in ("replaced", "chmodded", "becomes-directory", "becomes-symlink", "deleted", "deleted-and-back"):
        layer.file("srv/" + name, f"{name}: first version\n", mtime=1100000000)
    layer.symlink("srv/symlink-becomes-directory", "replaced")
    layer.symlink("srv/symlink-becomes-file", "replaced")
    layer.symlink("srv/symlink-deleted", "replaced")
    for name in ("becomes-file", "becomes-link", "deleted-tree", "tree-back", "opaque-first", "opaque-last", "opaque-empty"):
        layer.directory(f"srv/{name}-dir")
        layer.directory(f"srv/{name}-dir/sub", mode=0o711)
        layer.file(f"srv/{name}-dir/file", "below\n")
        layer.file(f"srv/{name}-dir/sub/file", "below\n")


def replacements(layer):
    """The same names again, as something else."""
    layer.file("srv/replaced", "second version, longer than the first\n", uid=1000, mtime="1700000000.000000001")
    layer.file("srv/chmodded", "chmodded: first version\n", mode=0o600, mtime=1100000000)
    layer.directory("srv/becomes-directory", mode=0o750)
    layer.file("srv/becomes-directory/file", "x")
    layer.symlink("srv/becomes-symlink", "replaced")
    layer.directory("srv/symlink-becomes-directory")
    layer.file("srv/symlink-becomes-directory/file", "x")
    layer.file("srv/symlink-becomes-file", "a file now\n")
    layer.file("srv/becomes-file-dir", "a file now\n")
    layer.symlink("srv/becomes-link-dir", "opaque-first-dir")
    layer.directory("srv/opaque-first-dir", mode=0o1770, gid=33, mtime="1650000000.75")
    layer.file("opt/plain/text", "second version\n", mtime=1650000000)


def whiteouts(layer):
    """Files, links and trees that go."""
    for name in ("deleted", "deleted-and-back", "symlink-deleted", "deleted-tree-dir", "tree-back-dir"):
        layer.whiteout("srv/" + name)
    layer.whiteout("etc/motd")
    layer.whiteout("srv/never-existed")


def opaques(layer):
    """Directories whose lower content goes; the marker comes before and after what the layer itself has."""
    layer.directory("srv/opaque-first-dir", mode=0o700, uid=1000)
    layer.opaque("srv/opaque-first-dir")
    layer.file("srv/opaque-first-dir/above", "above\n")
    layer.directory("srv/opaque-first-dir/sub")
    layer.file("srv/opaque-first-dir/sub/above", "above\n")
    layer.directory("srv/opaque-last-dir")
    layer.file("srv/opaque-last-dir/above", "above\n")
    layer.file("srv/opaque-last-dir/file", "above, under a name from below\n")
    layer.opaque("srv/opaque-last-dir")
    layer.directory("srv/opaque-empty-dir")
    layer.opaque("srv/opaque-empty-dir")
    layer.directory("srv/opaque-new-dir")
    layer.opaque("srv/opaque-new-dir")
    layer.file("srv/opaque-new-dir/only", "x")


def additions(layer):
    """Names that come back, links to files of lower layers, files with holes, and many small files."""
    layer.file("srv/deleted-and-back", "back again\n")
    layer.directory("srv/tree-back-dir", mode=0o711)
    layer.file("srv/tree-back-dir/new", "nothing of the old tree\n")
    layer.hardlink("opt/links/link-to-a-lower-layer", "opt/links/linked-by-a-later-layer")
    layer.directory("opt/sparse")
    layer.sparse("opt/sparse/holes", 10 << 20, [(1 << 20, noise(5000, 2)), (8 << 20, b"end of the second piece\n")])
    layer.sparse("opt/sparse/hole-at-the-end", 5 << 20, [(0, b"start\n")])
    layer.sparse("opt/sparse/only-a-hole", 4 << 20, [])
    layer.file("opt/sparse/zeros-but-not-sparse", bytes(1 << 20))
    layer.directory("opt/many", uid=2000, gid=2000)
    for directory in range(20):
        layer.directory(f"opt/many/{directory:02}", uid=2000, gid=2000)
        for file in range(100):
            layer.file(f"opt/many/{directory:02}/{file:03}.txt", f"{directory} {file}\n" * file, uid=2000, gid=2000)


LAYERS = (plain, links, names, attributes, victims, replacements, whiteouts, opaques, additions)
