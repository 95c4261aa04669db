//! What else a file may be that was taken for a tar archive, told by its first bytes.

use std::fmt;

/// A kind of file that is no tar archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// What it is, e.g. `a zip archive`.
    what: &'static str,
    /// What makes a tar archive of it.
    remedy: &'static str,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it is {}, not a tar archive: {}", self.what, self.remedy)
    }
}

const UNPACK: &str = "unpack it and pack the files with tar";
const MOUNT: &str = "mount it and pack the files with tar";
const DECOMPRESS: &str = "decompress it first, or compress it with gzip, zstd, xz or bzip2";
const DOWNLOAD: &str = "the address that it was downloaded from gave something else";
const NONE: &str = "create needs the path of a tar archive";

/// Bytes at an offset, what they say, and what to do.
const KINDS: &[(usize, &[u8], &str, &str)] = &[
    (0, b"PK\x03\x04", "a zip archive", UNPACK),
    (0, b"PK\x05\x06", "a zip archive", UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (0, b"Rar!\x1a\x07", "a rar archive", UNPACK),
    (0, b"070701", "a cpio archive", UNPACK),
    (0, b"070702", "a cpio archive", UNPACK),
    (0, b"070707", "a cpio archive", UNPACK),
    (0, b"\xc7\x71", "a cpio archive", UNPACK),
    (0, b"!<arch>\n", "an ar archive or Debian package", UNPACK),
    (0, b"\xed\xab\xee\xdb", "an RPM package", UNPACK),
    (0, b"xar!", "a xar archive", UNPACK),
    (0, b"hsqs", "a squashfs image", "unpack it with unsquashfs and pack the files with tar"),
    (0, b"sqsh", "a squashfs image", "unpack it with unsquashfs and pack the files with tar"),
    (0, b"XFSB", "an XFS image", MOUNT),
    (0, b"LUKS\xba\xbe", "an encrypted disk image", MOUNT),
    (0, b"QFI\xfb", "a qcow2 disk image", MOUNT),
    (0, b"KDMV", "a VMDK disk image", MOUNT),
    (0, b"vhdxfile", "a VHDX disk image", MOUNT),
    (0, b"conectix", "a VHD disk image", MOUNT),
    (1080, b"\x53\xef", "an ext2, ext3 or ext4 image", MOUNT),
    (1024, b"\xe2\xe1\xf5\xe0", "an EROFS image", MOUNT),
    (1024, b"\x10\x20\xf5\xf2", "an F2FS image", MOUNT),
    (0x10040, b"_BHRfS_M", "a btrfs image", MOUNT),
    (32769, b"CD001", "an ISO 9660 image", MOUNT),
    (512, b"EFI PART", "a disk image with partitions", MOUNT),
    (510, b"\x55\xaa", "a disk image", MOUNT),
    (0, b"\x04\x22\x4d\x18", "compressed with lz4", DECOMPRESS),
    (0, b"\x89LZO\0", "compressed with lzop", DECOMPRESS),
    (0, b"LZIP", "compressed with lzip", DECOMPRESS),
    (0, b"\x5d\0\0", "compressed with lzma", DECOMPRESS),
    (0, b"\x1f\x9d", "compressed with compress", DECOMPRESS),
    (0, b"\x7fELF", "a program", NONE),
    (0, b"#!", "a script", NONE),
    (0, b"<", "a page of HTML or XML", DOWNLOAD),
    (0, b"{", "a JSON document", NONE),
    (0, b"[", "a JSON document", NONE),
    (0, b"-----BEGIN", "a key or certificate", NONE),
    (0, b"version https://git-lfs", "a pointer of Git LFS", "fetch the file with git lfs pull"),
];

/// How many bytes it takes to tell all kinds.
pub(crate) const HEAD: usize = 0x10048;

/// What a file that begins with `head` is, as far as that can be said.
pub(crate) fn recognise(head: &[u8]) -> Option<Foreign> {
    let found =
        KINDS.iter().find(|(offset, magic, ..)| head.get(*offset..).is_some_and(|rest| rest.starts_with(magic)));
    found.map(|(_, _, what, remedy)| Foreign { what, remedy })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_within_the_head_and_found_by_its_own_bytes() {
        for (offset, magic, what, _) in KINDS {
            let mut head = vec![0; HEAD];
            head[*offset..offset + magic.len()].copy_from_slice(magic);
            assert_eq!(recognise(&head).map(|found| found.what), Some(*what));
        }
        assert_eq!(recognise(&[0; HEAD]), None);
        assert_eq!(recognise(b"PK"), None);
    }

    #[test]
    fn the_text_is_one_line_with_a_remedy() {
        let text = recognise(b"PK\x03\x04...").unwrap().to_string();
        assert_eq!(text, "it is a zip archive, not a tar archive: unpack it and pack the files with tar");
    }
}
