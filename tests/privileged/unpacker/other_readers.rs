//! Archives at random, in all dialects: GNU tar, Python's tarfile and this unpacker must make the same tree of each.
//!
//! The generator leaves out what the readers are known to differ in:
//!
//! | what | here | GNU tar | Python |
//! |---|---|---|---|
//! | a directory that no entry names | mode 0755, the epoch | the umask, now | the umask, now |
//! | a name that comes twice, of a file with another name | a new file | a new file | written through the link |
//! | the header of a hard link | says nothing of the file | says nothing | its attributes are set |
//! | global extended headers | ignored | obeyed | obeyed |
//! | modification time of a symbolic link | set | set | not set |
//! | an entry below a symbolic link | in the volume | followed | followed |
//! | a part of a sparse file that does not fill its blocks | is followed by the next one | the next one begins a block | is followed by the next one |
//! | something else in the place of a directory | replaced | an error | an error |
//!
//! `GROOTFS_ARCHIVES` says how many there are.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use super::*;

const DEFAULT_COUNT: usize = 200;
/// Unpacked before they are compared and removed.
const BATCH: usize = 500;

/// Numbers at random, the same each time (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn chance(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Dialect {
    V7,
    Ustar,
    Gnu,
    Pax,
}

/// An entry before it is put into headers.
#[derive(Clone)]
struct Said {
    name: Vec<u8>,
    kind: u8,
    mode: u32,
    uid: u64,
    gid: u64,
    mtime: i64,
    nanoseconds: u32,
    link: Vec<u8>,
    content: Vec<u8>,
}

/// An archive, and what its readers need not agree in.
struct Made {
    bytes: Vec<u8>,
    named_directories: BTreeSet<Vec<u8>>,
    has_duplicates: bool,
}

fn octal(field: &mut [u8], number: u64) {
    let width = field.len() - 1;
    field[..width].copy_from_slice(format!("{number:0width$o}").as_bytes());
    field[width] = 0;
}

fn base_256(field: &mut [u8], number: i64) {
    let wide = i128::from(number).to_be_bytes();
    field.copy_from_slice(&wide[wide.len() - field.len()..]);
    field[0] |= 0x80;
}

/// In octal digits, or as a binary number where the dialect has these and they are asked for or needed.
fn number(field: &mut [u8], value: i64, dialect: Dialect, binary: bool) {
    let fits = u64::try_from(value).is_ok_and(|value| value < 1 << (3 * (field.len() - 1)));
    match u64::try_from(value) {
        Ok(value) if fits && !(binary && dialect == Dialect::Gnu) => octal(field, value),
        _ if dialect == Dialect::Gnu => base_256(field, value),
        // It is in an extended header.
        _ => octal(field, 0),
    }
}

fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// Splits a name where a prefix may end.
fn split(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = (0..name.len().saturating_sub(1)).rev().find(|at| name[*at] == b'/' && *at <= 155)?;
    let (prefix, rest) = (&name[..at], &name[at + 1..]);
    (!prefix.is_empty() && rest.len() <= 100).then_some((prefix, rest))
}

impl Said {
    fn write(&self, random: &mut Random, mut tar: Tar) -> Tar {
        let plain = self.name.len() <= 100 && self.link.len() <= 100 && self.mtime >= 0 && self.nanoseconds == 0;
        let small = self.uid < 1 << 21 && self.gid < 1 << 21 && self.mtime < 1 << 33;
        let dialects: &[Dialect] = match (plain && small, self.nanoseconds == 0) {
            (true, _) => &[Dialect::V7, Dialect::Ustar, Dialect::Gnu, Dialect::Pax],
            (false, true) => &[Dialect::Gnu, Dialect::Pax],
            (false, false) => &[Dialect::Pax],
        };
        // Records are in UTF-8.
        let dialect = match random.one_of(dialects) {
            Dialect::Pax if std::str::from_utf8(&self.name).is_err() => Dialect::Gnu,
            dialect => dialect,
        };
        // Version 7 has files, links and directories.
        let dialect = if dialect == Dialect::V7 && self.kind == b'6' { Dialect::Ustar } else { dialect };
        let mut header = Header::new_old();
        let block = header.as_mut_bytes();
        let mut name = &self.name[..];
        let mut records: Vec<(&str, Vec<u8>)> = Vec::new();
        match dialect {
            Dialect::V7 => {}
            Dialect::Gnu => block[257..265].copy_from_slice(b"ustar  \0"),
            Dialect::Ustar | Dialect::Pax => {
                block[257..265].copy_from_slice(b"ustar\x0000");
                if let Some((prefix, rest)) = split(name).filter(|_| name.len() > 100 || random.chance(2)) {
                    block[345..345 + prefix.len()].copy_from_slice(prefix);
                    name = rest;
                }
            }
        }
        let has_sparse = matches!(dialect, Dialect::Gnu | Dialect::Pax);
        let is_sparse = self.kind == b'0' && has_sparse && random.chance(6);
        if dialect == Dialect::Pax && !is_sparse {
            records = self.records(random, name);
        }
        for (long, kind) in [(name, b'L'), (&self.link[..], b'K')] {
            if dialect == Dialect::Gnu && (long.len() > 100 || random.chance(8) && !long.is_empty()) {
                tar = tar.add(&Fields {
                    name: b"././@LongLink",
                    kind,
                    content: &[long, b"\0"].concat(),
                    ..Fields::default()
                });
            }
        }
        if !records.is_empty() {
            let records: Vec<(&str, &[u8])> = records.iter().map(|(key, value)| (*key, &value[..])).collect();
            tar = tar.pax(&records);
        }
        let binary = random.chance(4);
        block[..name.len().min(100)].copy_from_slice(&name[..name.len().min(100)]);
        block[157..157 + self.link.len().min(100)].copy_from_slice(&self.link[..self.link.len().min(100)]);
        number(&mut block[100..108], i64::from(self.mode), dialect, binary);
        number(&mut block[108..116], self.uid as i64, dialect, binary);
        number(&mut block[116..124], self.gid as i64, dialect, binary);
        number(&mut block[136..148], self.mtime, dialect, binary);
        block[156] = match self.kind {
            // As old writers have it.
            b'0' if dialect == Dialect::V7 => 0,
            kind => kind,
        };
        if is_sparse {
            return self.write_sparse(dialect, random, tar, header);
        }
        number(&mut block[124..136], self.content.len() as i64, dialect, binary);
        tar.raw(&mut header, &self.content)
    }

    fn records(&self, random: &mut Random, name: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
        let mut records: Vec<(&str, Vec<u8>)> = Vec::new();
        if name.len() > 100 || random.chance(3) {
            records.push(("path", self.name.clone()));
        }
        if self.link.len() > 100 || !self.link.is_empty() && random.chance(3) {
            records.push(("linkpath", self.link.clone()));
        }
        if self.nanoseconds != 0 || self.mtime < 0 || self.mtime >= 1 << 33 || random.chance(4) {
            let fraction = format!("{:09}", self.nanoseconds);
            // A negative time with a fraction counts from the second after.
            let text = match (self.mtime < 0, self.nanoseconds) {
                (_, 0) => self.mtime.to_string(),
                (true, nanoseconds) => format!("-{}.{:09}", -(self.mtime + 1), 1_000_000_000 - nanoseconds),
                (false, _) => format!("{}.{}", self.mtime, fraction.trim_end_matches('0')),
            };
            records.push(("mtime", text.into_bytes()));
        }
        if self.uid >= 1 << 21 || random.chance(4) {
            records.push(("uid", self.uid.to_string().into_bytes()));
        }
        if self.gid >= 1 << 21 || random.chance(4) {
            records.push(("gid", self.gid.to_string().into_bytes()));
        }
        if random.chance(4) {
            records.push(("comment", b"two\nlines of 21 path=x\n".to_vec()));
        }
        records
    }

    /// The content with a hole before, between or behind, in one of the encodings.
    fn write_sparse(&self, dialect: Dialect, random: &mut Random, tar: Tar, mut header: Header) -> Tar {
        // Whole blocks, as tar makes them.
        let half = self.content.len() / 2 / 512 * 512;
        let size = 5 * 4096 + self.content.len() - half + random.below(2) * 1000;
        // A hole at the end is told by a part of no length.
        let segments = [(random.below(3) * 4096, half), (5 * 4096, self.content.len() - half), (size, 0)];
        let block = header.as_mut_bytes();
        if dialect == Dialect::Gnu {
            block[156] = b'S';
            for (at, (offset, length)) in segments.iter().enumerate() {
                octal(&mut block[386 + at * 24..398 + at * 24], *offset as u64);
                octal(&mut block[398 + at * 24..410 + at * 24], *length as u64);
            }
            octal(&mut block[483..495], size as u64);
            octal(&mut block[124..136], self.content.len() as u64);
            return tar.raw(&mut header, &self.content);
        }
        let size = size.to_string();
        let flat: Vec<String> = segments.iter().flat_map(|(o, l)| [o.to_string(), l.to_string()]).collect();
        // What else the extended header says is lost with a second one: it is told again.
        let mut records: Vec<(&str, Vec<u8>)> = vec![
            ("path", self.name.clone()),
            ("mtime", format!("{}", self.mtime.max(0)).into_bytes()),
            ("uid", self.uid.to_string().into_bytes()),
            ("gid", self.gid.to_string().into_bytes()),
        ];
        let mut stored = self.content.clone();
        match random.below(3) {
            0 => {
                records.push(("GNU.sparse.size", size.into_bytes()));
                records.push(("GNU.sparse.numblocks", b"3".to_vec()));
                for pair in flat.chunks(2) {
                    records.push(("GNU.sparse.offset", pair[0].clone().into_bytes()));
                    records.push(("GNU.sparse.numbytes", pair[1].clone().into_bytes()));
                }
            }
            1 => {
                records.push(("GNU.sparse.size", size.into_bytes()));
                records.push(("GNU.sparse.numblocks", b"3".to_vec()));
                records.push(("GNU.sparse.map", flat.join(",").into_bytes()));
            }
            _ => {
                records[0].1 = b"GNUSparseFile.0/x".to_vec();
                records.push(("GNU.sparse.major", b"1".to_vec()));
                records.push(("GNU.sparse.minor", b"0".to_vec()));
                records.push(("GNU.sparse.name", self.name.clone()));
                records.push(("GNU.sparse.realsize", size.into_bytes()));
                let map = format!("3\n{}\n", flat.join("\n"));
                stored = [padded(map.into_bytes()), stored].concat();
            }
        }
        let block = header.as_mut_bytes();
        octal(&mut block[124..136], stored.len() as u64);
        number(&mut block[136..148], self.mtime.max(0), dialect, false);
        let records: Vec<(&str, &[u8])> = records.iter().map(|(key, value)| (*key, &value[..])).collect();
        tar.pax(&records).raw(&mut header, &stored)
    }
}

/// A name whose first letter tells what it is of, so that no two kinds of file come to one place.
fn name(random: &mut Random, letter: char) -> Vec<u8> {
    let mut name = Vec::new();
    for _ in 0..random.below(4) {
        name.extend_from_slice(format!("d{}", random.below(3)).as_bytes());
        if random.chance(12) {
            name.extend_from_slice(&[b'-'; 60]);
        }
        name.push(b'/');
    }
    name.extend_from_slice(format!("{letter}{}", random.below(4)).as_bytes());
    match random.below(24) {
        0 => name.extend_from_slice(" ü\u{301}".as_bytes()),
        1 => name.extend_from_slice(b"\xff\xe9"),
        2 => name.extend_from_slice(&[b'_'; 97]),
        3 => name.extend_from_slice(&[b'_'; 180]),
        _ => {}
    }
    name
}

fn said(random: &mut Random, kind: u8, letter: char) -> Said {
    let mode = random.one_of(&[0o644, 0o755, 0o600, 0o4755, 0o2711, 0o1777, 0o444, 0]);
    let mode = if kind == b'5' { mode & 0o7777 | 0o700 } else { mode };
    let (mtime, nanoseconds) = random.one_of(&[
        (0, 0),
        (1, 0),
        (1_500_000_000, 0),
        (1 << 33, 0),
        (-5, 0),
        (1_234_567_890, 250_000_000),
        (-2, 500_000_000),
    ]);
    let size = random.one_of(&[0, 1, 511, 512, 513, 5000]);
    let content = if kind == b'0' { (0..size).map(|at| (at * 7 + size) as u8).collect() } else { Vec::new() };
    Said {
        name: name(random, letter),
        kind,
        mode,
        uid: random.one_of(&[0, 0, 1000, 65534, 3_000_000, 4_294_967_294]),
        gid: random.one_of(&[0, 0, 100, 2_097_152]),
        mtime,
        nanoseconds,
        link: Vec::new(),
        content,
    }
}

fn archive(random: &mut Random) -> Made {
    let mut files: Vec<Said> = Vec::new();
    let mut names = BTreeSet::new();
    let mut made = Made { bytes: Vec::new(), named_directories: BTreeSet::new(), has_duplicates: false };
    let mut tar = Tar::new();
    for _ in 0..1 + random.below(12) {
        let entry = match random.below(10) {
            0..=3 => said(random, b'0', 'f'),
            4..=5 => said(random, b'5', 'd'),
            6 => {
                let target = random.one_of(&["nowhere", "../f0", "/etc/passwd", "d0"]).as_bytes().to_vec();
                let long = [&b"x/"[..]; 70].concat();
                Said { link: if random.chance(6) { long } else { target }, mode: 0o777, ..said(random, b'2', 'l') }
            }
            7 => said(random, b'6', 'p'),
            _ if files.is_empty() => said(random, b'0', 'f'),
            _ => {
                let target = files[random.below(files.len())].clone();
                let link = target.name.clone();
                Said { name: name(random, 'h'), kind: b'1', link, content: Vec::new(), ..target }
            }
        };
        if random.chance(20) {
            tar = tar.pax_kind(b'g', &[("comment", b"0123456789")]);
        }
        let is_new = names.insert(entry.name.clone());
        made.has_duplicates |= !is_new && entry.kind != b'5';
        match entry.kind {
            b'5' => drop(made.named_directories.insert(entry.name.clone())),
            b'0' => files.push(entry.clone()),
            _ => {}
        }
        let entry = match entry.kind {
            b'5' if random.chance(2) => Said { name: [&entry.name[..], b"/"].concat(), ..entry },
            _ => entry,
        };
        tar = entry.write(random, tar);
    }
    made.bytes = if random.chance(10) { tar.bytes } else { tar.end() };
    made
}

/// What is seen of a file: type and mode, owner, group, time, what it is or leads to, and how many names it has.
type Seen = (u32, u32, u32, Option<(i64, i64)>, Vec<u8>, u64);

fn tree(root: &Path, made: &Made, has_link_times: bool) -> BTreeMap<Vec<u8>, Seen> {
    use std::os::unix::ffi::OsStrExt;
    let mut found = BTreeMap::new();
    let mut ahead = vec![root.to_owned()];
    while let Some(directory) = ahead.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let stat = fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
            let mut time = Some((stat.mtime(), stat.mtime_nsec()));
            let mut names = stat.nlink();
            // Python takes the time of the last of them.
            if stat.is_file() && names > 1 && !has_link_times {
                time = None;
            }
            let content = if stat.is_dir() {
                time = time.filter(|_| made.named_directories.contains(&name));
                names = 0;
                ahead.push(path);
                Vec::new()
            } else if stat.is_symlink() {
                time = time.filter(|_| has_link_times);
                fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()
            } else if stat.is_file() {
                fs::read(&path).unwrap()
            } else {
                Vec::new()
            };
            found.insert(name, (stat.mode(), stat.uid(), stat.gid(), time, content, names));
        }
    }
    found
}

const PYTHON: &str = "
import os, sys, tarfile
os.umask(0o022)
for number in sys.argv[1:]:
    os.mkdir('python/' + number)
    try:
        with tarfile.open(number + '.tar') as archive:
            archive.errorlevel = 2
            archive.extractall('python/' + number, numeric_owner=True)
    except Exception as error:
        print(number, repr(error))
";

/// With `-P` links that lead out are made at once, and not in the end, which may be in the place of a later entry.
const GNU_TAR: &str = "umask 022; for number; do mkdir gnu/$number
    tar --warning=no-timestamp --delay-directory-restore --numeric-owner -P -xpf $number.tar -C gnu/$number 2>gnu/$number.err || \
    { echo $number; cat gnu/$number.err; }; done";

fn unpack_all(directory: &Path, program: &str, flags: &[&str], numbers: &[String]) {
    let mut command = Command::new(program);
    command.args(flags).args(numbers).current_dir(directory).env("PYTHONUTF8", "1").stdin(Stdio::null());
    let output = command.output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{program}: {}", String::from_utf8_lossy(&said));
}

#[test]
fn archives_at_random_are_what_gnu_tar_and_python_make_of_them() {
    let count = std::env::var("GROOTFS_ARCHIVES").map_or(DEFAULT_COUNT, |count| count.parse().unwrap());
    let mut random = Random(1);
    let mut left = count;
    while left > 0 {
        let batch = left.min(BATCH);
        left -= batch;
        let directory = tempfile::tempdir().unwrap();
        for reader in ["gnu", "python", "own"] {
            fs::create_dir(directory.path().join(reader)).unwrap();
        }
        let all: Vec<Made> = (0..batch).map(|_| archive(&mut random)).collect();
        let numbers: Vec<String> = (0..batch).map(|number| number.to_string()).collect();
        for (made, number) in all.iter().zip(&numbers) {
            fs::write(directory.path().join(format!("{number}.tar")), &made.bytes).unwrap();
        }
        let is_plain = |number: &&String| !all[number.parse::<usize>().unwrap()].has_duplicates;
        let plain: Vec<String> = numbers.iter().filter(is_plain).cloned().collect();
        unpack_all(directory.path(), "sh", &["-c", GNU_TAR, "sh"], &numbers);
        unpack_all(directory.path(), "python3", &["-c", PYTHON], &plain);
        for (made, number) in all.iter().zip(&numbers) {
            let own = directory.path().join("own").join(number);
            fs::create_dir(&own).unwrap();
            let keep = |error: &dyn std::fmt::Display| {
                fs::write(std::env::temp_dir().join("differs.tar"), &made.bytes).unwrap();
                panic!("archive {number}, {} left: {error}", left);
            };
            unpack_into(File::open(&own).unwrap().as_fd(), &made.bytes[..], &removal())
                .unwrap_or_else(|error| keep(&error));
            for (reader, has_link_times) in [("gnu", true), ("python", false)] {
                if reader == "python" && made.has_duplicates {
                    continue;
                }
                let expected = tree(&directory.path().join(reader).join(number), made, has_link_times);
                let actual = tree(&own, made, has_link_times);
                let differs =
                    expected.keys().chain(actual.keys()).find(|name| expected.get(*name) != actual.get(*name));
                if let Some(name) = differs {
                    let shown = |tree: &BTreeMap<Vec<u8>, Seen>| {
                        format!(
                            "{:?}",
                            tree.get(name).map(|(mode, uid, gid, time, content, names)| (
                                format!("{mode:o}"),
                                uid,
                                gid,
                                time,
                                content.len(),
                                names
                            ))
                        )
                    };
                    keep(&format!(
                        "{reader} has {} as {}, this {}",
                        name.escape_ascii(),
                        shown(&expected),
                        shown(&actual)
                    ));
                }
            }
        }
    }
}
