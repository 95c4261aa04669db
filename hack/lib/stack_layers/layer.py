"""A layer as a tar archive, written entry by entry."""

import io
import os
import tarfile

EPOCH = 1735689600  # 2025-01-01


class Layer:
    """One layer being written."""

    # Attributes of the directories so far, over all layers, to list them again as parents.
    directories = {}

    def __init__(self, path):
        self.tar = tarfile.open(path, "w", format=tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape")
        self.listed = set()

    def _add(self, name, kind, data=b"", mode=0o644, uid=0, gid=0, mtime=EPOCH, xattrs=None, link="", device=(0, 0)):
        self._parents(name)
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.uid, info.gid, info.linkname = kind, mode, uid, gid, link
        info.devmajor, info.devminor = device
        info.size = len(data)
        if isinstance(mtime, str):  # with nanoseconds, which a float does not hold
            info.pax_headers["mtime"] = mtime
        else:
            info.mtime = mtime
        for key, value in (xattrs or {}).items():
            info.pax_headers["SCHILY.xattr." + key] = value.decode("utf-8", "surrogateescape")
        self.tar.addfile(info, io.BytesIO(data))

    def _parents(self, name):
        names = name.split("/")
        for end in range(1, len(names)):
            parent = "/".join(names[:end])
            if parent not in self.listed and parent in self.directories:
                self.directory(parent, **self.directories[parent])

    def directory(self, name, **attributes):
        attributes.setdefault("mode", 0o755)
        self.directories[name] = attributes
        self.listed.add(name)
        self._add(name, tarfile.DIRTYPE, **attributes)

    def file(self, name, data=b"", **attributes):
        self._add(name, tarfile.REGTYPE, data if isinstance(data, bytes) else data.encode(), **attributes)

    def symlink(self, name, target, **attributes):
        self._add(name, tarfile.SYMTYPE, mode=0o777, link=target, **attributes)

    def hardlink(self, name, target):
        self._add(name, tarfile.LNKTYPE, link=target)

    def fifo(self, name, **attributes):
        self._add(name, tarfile.FIFOTYPE, **attributes)

    def device(self, name, kind, major, minor):
        self._add(name, kind, device=(major, minor))

    def whiteout(self, name):
        parent, base = os.path.split(name)
        self.file(os.path.join(parent, ".wh." + base))

    def opaque(self, name):
        self.file(name + "/.wh..wh..opq")

    def sparse(self, name, size, pieces):
        """A file with holes, in the format that GNU tar calls PAX 1.0: the map of the pieces precedes the data."""
        numbers = [len(pieces)] + [number for offset, data in pieces for number in (offset, len(data))]
        table = "".join(f"{number}\n" for number in numbers).encode()
        table += bytes(-len(table) % 512)
        self._parents(name)
        info = tarfile.TarInfo(os.path.join(os.path.dirname(name), "GNUSparseFile.0", os.path.basename(name)))
        info.mtime = EPOCH
        info.pax_headers = {
            "GNU.sparse.major": "1",
            "GNU.sparse.minor": "0",
            "GNU.sparse.name": name,
            "GNU.sparse.realsize": str(size),
        }
        content = table + b"".join(data for _, data in pieces)
        info.size = len(content)
        self.tar.addfile(info, io.BytesIO(content))

    def close(self):
        self.tar.close()


def noise(length, seed):
    """Bytes that do not compress."""
    words, state = [], seed
    for _ in range((length + 7) // 8):
        state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        words.append((state ^ (state >> 29)).to_bytes(8, "little"))
    return b"".join(words)[:length]
