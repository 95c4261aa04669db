//! Generated layers, and an oracle for what they must not change.

use std::convert::Infallible;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::sync::atomic::AtomicBool;

use arbitrary::Arbitrary;
use grootfs::idmap::IdMappings;
use grootfs::limits::{Limits, Usage};
use grootfs::unpacker::{Expected, Layer, LeftOut, OwnMemory, Privileged, WhiteoutFormat, unpack};
use tar::{EntryType, Header};

/// Parts that names are made of.
const PARTS: [&str; 16] =
    ["a", "b", "c", "d", "..", ".", "", "/", "out", "canary", "secret", ".wh.a", ".wh.b", ".wh..wh..opq", ".wh.", "l"];

/// A layer below and one on top.
#[derive(Arbitrary, Debug)]
pub struct Stack {
    format: u8,
    lower: Vec<Entry>,
    upper: Vec<Entry>,
}

#[derive(Arbitrary, Debug)]
struct Entry {
    kind: u8,
    name: Vec<u8>,
    link: Vec<u8>,
    mode: u16,
    owner: u16,
    content: u8,
    attribute: Option<(u8, u8)>,
}

/// Extracts both layers, the upper one with the lower as parent, and checks that what is beside them is as it was.
pub fn extract(stack: &Stack) {
    let around = tempfile::tempdir().expect("a directory");
    let around = around.path();
    make_canary(around);
    let before = state(around);
    let ids = IdMappings::identity();
    let cancel = AtomicBool::new(false);
    let usage = Usage::new(&Limits::default());
    let whiteouts = match stack.format % 3 {
        0 => WhiteoutFormat::Overlay,
        1 => WhiteoutFormat::OverlayDevices,
        _ => WhiteoutFormat::Removal,
    };
    let layer = Layer {
        expected: Expected::default(),
        base_directory: None,
        whiteouts,
        fingerprints: true,
        read_ahead: 0,
        ids: &ids,
        privileged: Privileged::All,
        budget: None,
        room: None,
        decoder_memory: &OwnMemory,
        usage: &usage,
        inode_budget: None,
        is_unnamed: false,
        cancel: &cancel,
    };
    let lower = around.join("lower");
    let upper = if whiteouts == WhiteoutFormat::Removal { lower.clone() } else { around.join("upper") };
    for (volume, entries) in [(&lower, &stack.lower), (&upper, &stack.upper)] {
        let root = File::open(volume).expect("the volume opens");
        let below = File::open(&lower).expect("the volume opens");
        let parents = [below.as_fd()];
        let archive = archive(entries, around);
        let open = || Ok::<_, Infallible>(root.try_clone().expect("a descriptor").into());
        if let Ok(unpacked) = unpack(&archive[..], open, &layer) {
            let _ = unpacked.finish(root.as_fd(), if volume == &lower { &[] } else { &parents }, &LeftOut::default());
        }
        assert_eq!(before, state(around), "changed outside of the volume");
    }
}

fn make_canary(around: &Path) {
    for directory in ["lower", "upper", "canary", "canary/d"] {
        fs::create_dir(around.join(directory)).expect("a directory is made");
    }
    for file in ["canary/secret", "canary/d/a", "secret"] {
        fs::write(around.join(file), "secret").expect("a file is written");
    }
    for volume in ["lower", "upper"] {
        symlink("../canary", around.join(volume).join("out")).expect("a link is made");
        symlink(around.join("canary"), around.join(volume).join("l")).expect("a link is made");
    }
}

/// Everything beside the volumes, with what a change of it would change. Times of reading do not count.
fn state(around: &Path) -> Vec<String> {
    let paths = ["", "secret", "canary", "canary/secret", "canary/d", "canary/d/a"];
    let describe = |path: &str| {
        let stat = fs::symlink_metadata(around.join(path)).expect("what was there is there");
        let names = fs::read_dir(around.join(path)).map(|entries| entries.count()).unwrap_or_default();
        // The change time tells of links, owners, modes and attributes too.
        let changed = (stat.ctime(), stat.ctime_nsec(), stat.nlink());
        format!("{path}: {names} {:o} {} {changed:?}", stat.mode(), stat.size())
    };
    paths.map(describe).to_vec()
}

fn archive(entries: &[Entry], around: &Path) -> Vec<u8> {
    let mut archive = Vec::new();
    for entry in entries.iter().take(24) {
        entry.append(&mut archive, around);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

/// Parts joined by slashes; one of them may be the absolute path of what is beside the volumes.
fn name(parts: &[u8], around: &Path) -> String {
    let part = |part: &u8| match part {
        255 => around.to_string_lossy().into_owned(),
        part => PARTS[usize::from(*part) % PARTS.len()].to_owned(),
    };
    parts.iter().take(6).map(part).collect::<Vec<_>>().join("/")
}

impl Entry {
    fn append(&self, archive: &mut Vec<u8>, around: &Path) {
        let kind = match self.kind % 8 {
            0 | 1 => EntryType::Regular,
            2 | 3 => EntryType::Directory,
            4 => EntryType::Symlink,
            5 => EntryType::Link,
            6 => EntryType::Fifo,
            _ => EntryType::Char,
        };
        if let Some((key, value)) = self.attribute {
            let keys = ["SCHILY.xattr.user.a", "SCHILY.xattr.trusted.overlay.opaque", "mtime", "path", "linkpath"];
            let key = keys[usize::from(key) % keys.len()];
            pax(archive, key, &name(&[value, self.kind], around));
        }
        let content = if kind == EntryType::Regular { vec![b'x'; usize::from(self.content)] } else { Vec::new() };
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        set(&mut header.as_old_mut().name, &name(&self.name, around));
        set(&mut header.as_old_mut().linkname, &name(&self.link, around));
        header.set_mode(u32::from(self.mode) & 0o7777);
        header.set_uid(u64::from(self.owner));
        header.set_gid(u64::from(self.owner));
        header.set_size(content.len() as u64);
        append(archive, &mut header, &content);
    }
}

fn pax(archive: &mut Vec<u8>, key: &str, value: &str) {
    let rest = key.len() + value.len() + 3;
    let length = (1..4).map(|digits| rest + digits).find(|sum| sum.to_string().len() + rest == *sum);
    let record = format!("{} {key}={value}\n", length.unwrap_or_default());
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::XHeader);
    header.set_size(record.len() as u64);
    append(archive, &mut header, record.as_bytes());
}

fn append(archive: &mut Vec<u8>, header: &mut Header, content: &[u8]) {
    header.set_cksum();
    archive.extend_from_slice(header.as_bytes());
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(512), 0);
}

/// As much of a text as a field takes.
fn set(field: &mut [u8], text: &str) {
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text.as_bytes()[..length]);
}
