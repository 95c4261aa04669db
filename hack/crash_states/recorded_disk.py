"""The disk that is recorded: a file served by FUSE, the log of which is the order of writes and flushes."""

import ctypes
import os
import struct
import threading

from crash_states.commands import patiently

BLOCK = 4096


class RecordedDisk:
    """A file of FUSE's own (fuse(4), <linux/fuse.h>) that records what is written to it."""

    GETATTR, SETATTR, OPEN, READ, WRITE, RELEASE, FSYNC, FLUSH, INIT, FALLOCATE = 3, 4, 14, 15, 16, 18, 20, 25, 26, 43
    FORGETS, PUNCH_HOLE, ENOSYS, EOPNOTSUPP = (2, 42), 2, 38, 95
    MAX_WRITE = 128 << 10

    def __init__(self, content, point):
        self.content = os.open(content, os.O_RDWR)
        self.size = os.fstat(self.content).st_size
        self.log = []
        self.point = point
        open(point, "w").close()
        self.fuse = os.open("/dev/fuse", os.O_RDWR)
        libc = ctypes.CDLL(None, use_errno=True)
        options = f"fd={self.fuse},rootmode=100000,user_id=0,group_id=0,allow_other".encode()
        # MS_NOSUID and MS_NODEV
        if libc.mount(b"crash-states", point.encode(), b"fuse", 2 | 4, options) != 0:
            raise OSError(ctypes.get_errno(), "mount fuse")
        threading.Thread(target=self.serve, daemon=True).start()

    def close(self):
        patiently("umount", self.point)

    def serve(self):
        while True:
            try:
                request = os.read(self.fuse, self.MAX_WRITE + 8192)
            except OSError:
                return
            _, opcode, unique = struct.unpack_from("<IIQ", request)
            if opcode in self.FORGETS:
                continue
            error, answer = 0, b""
            try:
                answer = self.answer(opcode, request[40:])
            except OSError as failure:
                error = failure.errno
            os.write(self.fuse, struct.pack("<IiQ", 16 + len(answer), -error, unique) + answer)

    def answer(self, opcode, body):
        if opcode == self.INIT:
            major, minor, readahead, _ = struct.unpack_from("<IIII", body)
            big_writes, max_pages = 1 << 5, 1 << 22
            out = struct.pack("<IIIIHHIIHHII", major, min(minor, 31), readahead, big_writes | max_pages, 16, 12,
                              self.MAX_WRITE, 1, self.MAX_WRITE // 4096, 0, 0, 0)
            return out.ljust(64, b"\0")
        if opcode in (self.GETATTR, self.SETATTR):
            attributes = struct.pack("<6Q10I", 1, self.size, self.size // 512, 0, 0, 0, 0, 0, 0, 0o100600, 1, 0, 0, 0,
                                     BLOCK, 0)
            return struct.pack("<QII", 3600, 0, 0) + attributes
        if opcode == self.OPEN:
            return struct.pack("<QIi", 1, 0, 0)
        if opcode == self.READ:
            _, offset, size = struct.unpack_from("<QQI", body)
            return os.pread(self.content, size, offset)
        if opcode == self.WRITE:
            _, offset, size = struct.unpack_from("<QQI", body)
            data = body[40:40 + size]
            os.pwrite(self.content, data, offset)
            self.log.append(("write", offset, data))
            return struct.pack("<II", size, 0)
        if opcode == self.FALLOCATE:
            _, offset, length, mode = struct.unpack_from("<QQQI", body)
            if not mode & self.PUNCH_HOLE:
                raise OSError(self.EOPNOTSUPP, "")
            self.log.append(("write", offset, bytes(length)))
            zeroes(self.content, offset, length)
            return b""
        if opcode == self.FSYNC:
            self.log.append(("flush",))
            return b""
        if opcode in (self.FLUSH, self.RELEASE):
            return b""
        raise OSError(self.ENOSYS, "")

    def mark(self, name):
        """Notes in the log that what came before has been done."""
        self.log.append(("mark", name))


def zeroes(file, offset, length):
    while length > 0:
        count = min(length, 1 << 20)
        os.pwrite(file, bytes(count), offset)
        offset, length = offset + count, length - count
