//! Whole archives, header by header, in every dialect; GNU tar is the judge where it reads the dialect.

use std::fs;
use std::process::Command;

use proptest::prelude::*;
use rustix::fs::Timespec;

use super::*;
use crate::limits::Limits;

/// The fields of a header, as bytes, and the body behind it.
#[derive(Clone)]
struct Block {
    bytes: [u8; 512],
    body: Vec<u8>,
}

impl Block {
    /// A header of Version 7: mode 0644, owner 1:2, mtime 3.
    fn v7(name: &[u8], kind: u8) -> Self {
        let block = Self { bytes: [0; 512], body: Vec::new() }.put(0, name).put(156, &[kind]);
        block.put(100, b"0000644\0").put(108, b"0000001\0").put(116, b"0000002\0").put(136, b"00000000003\0").size(0)
    }

    fn ustar(name: &[u8], kind: u8) -> Self {
        Self::v7(name, kind).put(257, b"ustar\x0000")
    }

    fn gnu(name: &[u8], kind: u8) -> Self {
        Self::v7(name, kind).put(257, b"ustar  \0")
    }

    fn pax(records: &[(&str, &str)]) -> Self {
        let mut body = String::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length = (1..).map(|digits| rest + digits).find(|sum| sum.to_string().len() + rest == *sum);
            body.push_str(&format!("{} {key}={value}\n", length.unwrap()));
        }
        Self::ustar(b"PaxHeaders/x", b'x').body(body.as_bytes())
    }

    fn put(mut self, offset: usize, bytes: &[u8]) -> Self {
        self.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
        self
    }

    fn size(self, size: usize) -> Self {
        self.put(124, format!("{size:011o}\0").as_bytes())
    }

    fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self.size(body.len())
    }

    fn write(mut self, archive: &mut Vec<u8>) {
        self.bytes[148..156].fill(b' ');
        let sum: u32 = self.bytes.iter().map(|byte| u32::from(*byte)).sum();
        self.bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        archive.extend_from_slice(&self.bytes);
        archive.extend_from_slice(&self.body);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
}

fn archive(blocks: impl IntoIterator<Item = Block>) -> Vec<u8> {
    let mut bytes = Vec::new();
    blocks.into_iter().for_each(|block| block.write(&mut bytes));
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// All entries with the content that they have in the archive.
fn read(mut bytes: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, ArchiveError> {
    let mut archive = Archive::new(&mut bytes, Limits::default());
    let mut entries = Vec::new();
    while let Some(entry) = archive.next_entry()? {
        let mut content = Vec::new();
        archive.read_body::<ArchiveError>(entry.size, |piece| {
            content.extend_from_slice(piece);
            Ok(())
        })?;
        entries.push((entry, content));
    }
    Ok(entries)
}

/// What the only entry, or the first of several, is.
fn first(blocks: impl IntoIterator<Item = Block>) -> Entry {
    read(&archive(blocks)).unwrap().remove(0).0
}

fn names(bytes: &[u8]) -> Vec<String> {
    read(bytes).unwrap().into_iter().map(|(entry, _)| String::from_utf8(entry.name).unwrap()).collect()
}

#[test]
fn what_a_type_flag_makes_of_an_entry() {
    let cases: [(u8, &[u8], EntryKind, usize); 14] = [
        (b'0', b"f", EntryKind::Regular, 1),
        (b'0', b"f/", EntryKind::Regular, 1),
        (0, b"f", EntryKind::Regular, 1),
        (0, b"d/", EntryKind::Directory, 0),
        (b'7', b"f", EntryKind::Regular, 1),
        (b'1', b"f", EntryKind::HardLink, 0),
        (b'2', b"f", EntryKind::Symlink, 0),
        (b'3', b"f", EntryKind::Device, 0),
        (b'4', b"f", EntryKind::Device, 0),
        (b'5', b"d", EntryKind::Directory, 0),
        (b'6', b"f", EntryKind::Fifo, 0),
        (b'D', b"d/", EntryKind::Directory, 1),
        (b'V', b"label", EntryKind::Other(b'V'), 1),
        (b'M', b"rest", EntryKind::Other(b'M'), 1),
    ];
    for (flag, name, kind, bodies) in cases {
        let mut block = Block::v7(name, flag).put(100, b"0000751\0").body(b"1 body");
        if bodies == 0 {
            block.body.clear();
        }
        let entries = read(&archive([block, Block::v7(b"after", b'0')])).unwrap();
        assert_eq!(entries.len(), 2, "{}", flag.escape_ascii());
        assert_eq!((&entries[0].0.kind, entries[0].0.mode), (&kind, 0o751), "{}", flag.escape_ascii());
    }
}

#[test]
fn of_two_extension_headers_of_a_kind_the_last_counts() {
    let long = |kind, name: &[u8]| Block::gnu(b"././@LongLink", kind).body(name);
    let link = || Block::gnu(b"short", b'2').put(157, b"link");
    let entry = first([long(b'L', b"one\0"), long(b'K', b"1\0"), long(b'L', b"two\0"), long(b'K', b"2\0"), link()]);
    assert_eq!((entry.name.as_slice(), entry.link.as_slice()), (&b"two"[..], &b"2"[..]));

    let entry = first([
        Block::pax(&[("path", "one"), ("uid", "7")]),
        Block::pax(&[("path", "two")]),
        Block::ustar(b"short", b'0'),
    ]);
    assert_eq!((entry.name.as_slice(), entry.uid), (&b"two"[..], 1), "the last one alone");

    let solaris = Block::pax(&[("path", "two")]).put(156, b"X");
    let entry = first([Block::pax(&[("path", "one")]), solaris, Block::ustar(b"short", b'0')]);
    assert_eq!(entry.name, b"two", "Solaris had them first");

    let entry = first([Block::pax(&[("path", "pax")]), long(b'L', b"gnu\0"), Block::ustar(b"short", b'0')]);
    assert_eq!(entry.name, b"gnu", "whichever stands first");
    let entry = first([long(b'L', b"gnu\0"), Block::pax(&[("path", "pax")]), Block::ustar(b"short", b'0')]);
    assert_eq!(entry.name, b"gnu");
    let entry = first([long(b'L', b"\0"), Block::gnu(b"short", b'0')]);
    assert_eq!(entry.name, b"short", "an empty one says nothing");
}

#[test]
fn extension_headers_concern_one_entry_and_global_ones_none() {
    let bytes = archive([
        Block { bytes: Block::pax(&[]).put(156, b"g").bytes, ..Block::pax(&[("path", "global")]) }.size(15),
        Block::pax(&[("path", "first")]),
        Block::ustar(b"a", b'0'),
        Block::ustar(b"b", b'0'),
    ]);
    assert_eq!(names(&bytes), ["first", "b"]);
}

#[test]
fn numbers_that_fit_no_octal_field() {
    let entry = first([Block::gnu(b"f", b'0')
        .put(108, b"\x80\0\0\0\xff\xff\xff\xfe")
        .put(116, b"\x80\0\0\0\0\x30\0\0")
        .put(136, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe")]);
    assert_eq!((entry.uid, entry.gid), (u32::MAX - 1, 0x30_0000));
    assert_eq!(entry.mtime, Timespec { tv_sec: -2, tv_nsec: 0 });
    let entry = first([Block::ustar(b"f", b'0').put(100, b"\0\0\0\x30755\0").put(108, b"      7\0")]);
    assert_eq!((entry.mode, entry.uid), (0o755, 7));
    for field in [&b"-0000001"[..], b"99999999", b"\x80\0\0\x01\0\0\0\0", b"\xff\xff\xff\xff\xff\xff\xff\xff"] {
        assert!(read(&archive([Block::ustar(b"f", b'0').put(108, field)])).is_err(), "{}", field.escape_ascii());
    }
}

#[test]
fn only_entries_with_a_body_need_a_size() {
    let negative = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff";
    assert_eq!(first([Block::gnu(b"l", b'2').put(124, negative)]).kind, EntryKind::Symlink);
    assert!(read(&archive([Block::gnu(b"f", b'0').put(124, negative)])).is_err());
}

#[test]
fn sparse_files_of_the_old_format() {
    // The map goes on in a second block, which is full, and a third, which is empty.
    let segment = |number: usize| format!("{:011o}\0{:011o}\0", number * 1024, 1).into_bytes();
    let segments = |range: std::ops::Range<usize>| range.flat_map(segment).collect::<Vec<u8>>();
    for flag in [b'\x01', b'1'] {
        let mut body = segments(4..25);
        body.resize(512, 0);
        body[504] = flag;
        body.resize(1024, 0);
        body.extend_from_slice(&[b'x'; 25]);
        let mut block = Block::gnu(b"sparse", b'S').put(386, &segments(0..4)).put(482, &[flag]);
        block = block.put(483, b"00000200000\0").size(25);
        block.body = body;
        let (entry, content) = read(&archive([block, Block::gnu(b"after", b'0')])).unwrap().remove(0);
        let EntryKind::Sparse(map) = entry.kind else { panic!("not sparse: {:?}", entry.kind) };
        assert_eq!((map.size, map.segments.len(), content), (0o200000, 25, vec![b'x'; 25]));
    }
    let elsewhere = Block::ustar(b"sparse", b'S').put(386, &segments(0..1)).put(483, b"00000200000\0").body(b"x");
    assert!(read(&archive([elsewhere])).is_err(), "only GNU headers have such a map");
}

#[test]
fn sparse_files_of_the_newer_formats() {
    let entry = first([
        Block::pax(&[
            ("GNU.sparse.major", "1"),
            ("GNU.sparse.minor", "0"),
            ("GNU.sparse.name", "right"),
            ("GNU.sparse.realsize", "2048"),
            ("path", "wrong"),
        ]),
        Block::gnu(b"././@LongLink", b'L').body(b"wrong\0"),
        Block::ustar(b"wrong", b'0').body(&[&b"1\n1024\n1\n"[..], &[0; 503], b"x"].concat()),
    ]);
    assert_eq!((entry.name.as_slice(), entry.size), (&b"right"[..], 1));
    let map = |records: &[(&str, &str)]| {
        let entry = first([Block::pax(records), Block::ustar(b"f", b'0').body(&[b'x'; 2])]);
        let EntryKind::Sparse(map) = entry.kind else { panic!("not sparse: {records:?}") };
        (map.size, map.segments.len())
    };
    assert_eq!(map(&[("GNU.sparse.map", "0,1,1024,1"), ("GNU.sparse.size", "2048")]), (2048, 2));
    assert_eq!(map(&[("GNU.sparse.map", "0,2")]), (2, 1), "the size that the header says");
    let unknown = [("GNU.sparse.major", "2"), ("GNU.sparse.minor", "0")];
    let error = read(&archive([Block::pax(&unknown), Block::ustar(b"f", b'0')])).unwrap_err();
    assert!(error.to_string().contains("sparse"), "{error}");
}

#[test]
fn where_an_archive_may_end() {
    let whole = archive([Block::ustar(b"f", b'0').body(b"content")]);
    for (end, ok) in [(1024 + 1024, true), (1024 + 512, true), (1024, true), (519, true), (518, false), (511, false)] {
        assert_eq!(read(&whole[..end]).is_ok(), ok, "{end}");
    }
    let garbage = [&whole[..], b"anything"].concat();
    assert_eq!(names(&garbage), ["f"]);
    let lone = [&whole[..1024], &[0; 512], &whole[..1024]].concat();
    assert!(read(&lone).is_err(), "a header behind one block of zeros");
    assert!(read(&archive([Block::pax(&[("path", "x")])])).is_err(), "an extended header of nothing");
}

/// One number in a field of `width` bytes in one of the forms that writers use.
fn field(number: u64, width: usize, form: u8) -> Vec<u8> {
    let digits = width - 1;
    match form % 6 {
        0 => format!("{number:0digits$o}\0"),
        1 => format!("{number:0width$o}"),
        2 => format!("{number:digits$o} "),
        3 => format!("{number:0digits$o} "),
        4 => format!("{number:o}\0{:pad$}", "", pad = width),
        _ => {
            let mut binary = vec![0; width];
            binary[width - 8..].copy_from_slice(&number.to_be_bytes());
            binary[0] |= 0x80;
            return binary;
        }
    }
    .into_bytes()[..width]
        .to_vec()
}

#[derive(Clone, Debug)]
struct Random {
    name: String,
    prefix: String,
    dialect: u8,
    version: [u8; 2],
    forms: [u8; 5],
    mode: u32,
    owner: (u32, u32),
    mtime: u32,
    content: Vec<u8>,
}

fn random_entries() -> impl Strategy<Value = Vec<Random>> {
    let entry = (
        ("[a-z]{1,100}", "([a-z]{1,20}/){0,5}[a-z]{1,30}"),
        (0..4u8, prop::sample::select(vec![*b"00", *b"\0\0", *b"  ", *b" \0"])),
        prop::array::uniform5(any::<u8>()),
        (0..0o7777u32, (0..0o777_777u32, 0..0o777_777u32), any::<u32>()),
        prop::collection::vec(any::<u8>(), 0..600),
    );
    let entry = entry.prop_map(|((name, prefix), (dialect, version), forms, (mode, owner, mtime), content)| Random {
        name,
        prefix,
        dialect,
        version,
        forms,
        mode,
        owner,
        mtime,
        content,
    });
    prop::collection::vec(entry, 1..8)
}

impl Random {
    fn block(&self) -> Block {
        let block = match self.dialect {
            0 => Block::v7(self.name.as_bytes(), b'0'),
            1 => Block::ustar(self.name.as_bytes(), b'0').put(263, &self.version).put(345, self.prefix.as_bytes()),
            2 => Block::gnu(self.name.as_bytes(), b'0').put(345, b"00000000001\x0000000000002\0"),
            _ => Block::ustar(self.name.as_bytes(), b'0')
                .put(345, &self.prefix.as_bytes()[..self.prefix.len().min(130)])
                .put(476, b"00000000001 00000000002 ")
                .put(508, b"tar\0"),
        };
        let [mode, uid, gid, size, mtime] = self.forms;
        let mut block = block
            .put(100, &field(self.mode.into(), 8, mode))
            .put(108, &field(self.owner.0.into(), 8, uid))
            .put(116, &field(self.owner.1.into(), 8, gid))
            .put(136, &field(self.mtime.into(), 12, mtime))
            .put(124, &field(self.content.len() as u64, 12, size));
        block.body.clone_from(&self.content);
        block
    }

    fn path(&self) -> String {
        match self.dialect {
            1 => format!("{}/{}", self.prefix, self.name),
            3 => format!("{}/{}", &self.prefix[..self.prefix.len().min(130)], self.name),
            _ => self.name.clone(),
        }
    }
}

/// A file as `tar -tv` prints it, without its time.
fn line(mode: u32, owner: (u32, u32), size: usize, name: &str) -> String {
    let bit = |bit: u32, letter: char| if mode & bit != 0 { letter } else { '-' };
    let mut letters: Vec<char> = (0..9).map(|index| bit(0o400 >> index, ['r', 'w', 'x'][index as usize % 3])).collect();
    for (index, special, letter) in [(2, 0o4000, 's'), (5, 0o2000, 's'), (8, 0o1000, 't')] {
        if mode & special != 0 {
            letters[index] = if letters[index] == 'x' { letter } else { letter.to_ascii_uppercase() };
        }
    }
    let letters: String = letters.iter().collect();
    format!("-{letters} {}/{} {size} {name}", owner.0, owner.1)
}

fn listed_by_gnu_tar(bytes: &[u8]) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.tar");
    fs::write(&path, bytes).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["--numeric-owner", "--full-time", "--utc", "-tvf"]).arg(&path).env("LC_ALL", "C");
    let output = tar.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        [&fields[..3], &fields[5..]].concat().join(" ")
    };
    text.lines().map(line).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_dialect_and_number_form_is_read_as_it_was_written(entries in random_entries()) {
        let bytes = archive(entries.iter().map(Random::block));
        let read = read(&bytes).unwrap();
        prop_assert_eq!(read.len(), entries.len());
        let mut lines = Vec::new();
        for (expected, (entry, content)) in entries.iter().zip(&read) {
            let name = String::from_utf8(entry.name.clone()).unwrap();
            prop_assert_eq!(&name, &expected.path());
            prop_assert_eq!((entry.mode, entry.uid, entry.gid), (expected.mode, expected.owner.0, expected.owner.1));
            prop_assert_eq!(entry.mtime.tv_sec, i64::from(expected.mtime));
            prop_assert_eq!(content, &expected.content);
            lines.push(line(entry.mode, (entry.uid, entry.gid), content.len(), &name));
        }
        prop_assert_eq!(lines, listed_by_gnu_tar(&bytes));
    }
}
