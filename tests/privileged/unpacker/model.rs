//! Layers at random, stacked: the merged view, the kernel's overlay and a model of extracting one layer into the other
//! must agree.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};

use super::*;
use grootfs::unpacker::MergedView;

#[derive(Debug, Clone)]
enum Op {
    File(String, Said),
    Fifo(String, Said),
    Symlink(String, Said),
    Directory(String, Said),
    Whiteout(String),
    Opaque(String),
}

/// What an entry says beside its name and content.
#[derive(Debug, Clone, Copy)]
struct Said {
    gid: u32,
    setgid: bool,
    /// An access control list; of a directory, the one that it hands down.
    acl: bool,
}

/// What can be seen of a file: group, permission bits, modification time, and its access control lists.
#[derive(Debug, Clone, PartialEq)]
struct Look {
    gid: u32,
    mode: u32,
    mtime: i64,
    access_acl: Option<Vec<u8>>,
    default_acl: Option<Vec<u8>>,
}

/// What is at a path: content of a file, or `None` for a directory; whether the layer at hand put it there, and whether
/// that has an entry for it.
#[derive(Debug, Clone, PartialEq)]
struct Node {
    content: Option<String>,
    own: bool,
    named: bool,
    look: Look,
}

type Tree = BTreeMap<String, Node>;
/// A tree as it is seen.
type Shown = BTreeMap<String, (Option<String>, Look)>;

/// user::rw-, user:1234:rwx, group::r--, mask::rwx, other::r--
const FILE_ACL: Acl = acl([6, 7, 4, 7, 4]);

impl Said {
    fn fields(self, name: &str, kind: u8, layer: usize) -> Fields<'_> {
        let (mode, mtime) = (self.mode(kind), mtime(layer).unsigned_abs());
        Fields { name: name.as_bytes(), kind, mode, gid: self.gid.into(), mtime, ..Fields::default() }
    }

    fn mode(self, kind: u8) -> u32 {
        match kind {
            b'5' => 0o755 | if self.setgid { 0o2000 } else { 0 },
            b'2' => 0o777,
            _ if self.acl => 0o674,
            _ => 0o644,
        }
    }

    fn records(self, kind: u8) -> Vec<(&'static str, &'static [u8])> {
        match kind {
            b'5' if self.acl => vec![("SCHILY.xattr.system.posix_acl_default", &DEFAULT_ACL)],
            b'0' | b'6' if self.acl => vec![("SCHILY.xattr.system.posix_acl_access", &FILE_ACL)],
            _ => Vec::new(),
        }
    }

    fn look(self, kind: u8, layer: usize) -> Look {
        Look {
            gid: self.gid,
            mode: self.mode(kind),
            mtime: mtime(layer),
            access_acl: (self.acl && matches!(kind, b'0' | b'6')).then(|| FILE_ACL.to_vec()),
            default_acl: (self.acl && kind == b'5').then(|| DEFAULT_ACL.to_vec()),
        }
    }
}

impl Look {
    /// That of a directory that is there because something in it is.
    const IMPLICIT: Self = Look { gid: 0, mode: 0o755, mtime: 0, access_acl: None, default_acl: None };

    fn of(path: &Path) -> Self {
        let stat = fs::symlink_metadata(path).unwrap();
        Look {
            gid: stat.gid(),
            mode: stat.mode() & 0o7777,
            mtime: stat.mtime(),
            access_acl: xattr_of(path, "system.posix_acl_access"),
            default_acl: xattr_of(path, "system.posix_acl_default"),
        }
    }
}

fn mtime(layer: usize) -> i64 {
    MTIME + i64::try_from(layer).unwrap()
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let name = prop::sample::select(vec!["a", "b", "c"]);
    let path = prop::collection::vec(name, 1..=3).prop_map(|names| names.join("/"));
    let said = (prop::sample::select(vec![0, 0, 50]), any::<bool>(), any::<bool>());
    let said = said.prop_map(|(gid, setgid, acl)| Said { gid, setgid, acl });
    let op = (0..10, path, said).prop_map(|(kind, path, said)| match kind {
        0..=1 => Op::File(path, said),
        2 => Op::Fifo(path, said),
        // By a name that is on the way to nothing.
        3 => Op::Symlink(format!("{path}/s"), said),
        4..=5 => Op::Directory(path, said),
        6..=8 => Op::Whiteout(path),
        _ => Op::Opaque(path),
    });
    prop::collection::vec(op, 0..12)
}

fn archive(ops: &[Op], layer: usize) -> Tar {
    let entry = |tar: Tar, path: &str, kind: u8, said: Said, content: &str| {
        let records = said.records(kind);
        let tar = if records.is_empty() { tar } else { tar.pax(&records) };
        let (content, link) = if kind == b'2' { ("", content) } else { (content, "") };
        let (content, link) = (content.as_bytes(), link.as_bytes());
        tar.add(&Fields { content, link, ..said.fields(path, kind, layer) })
    };
    ops.iter().enumerate().fold(Tar::new(), |tar, (position, op)| match op {
        Op::File(path, said) => entry(tar, path, b'0', *said, &format!("{layer}.{position}")),
        Op::Fifo(path, said) => entry(tar, path, b'6', *said, ""),
        Op::Symlink(path, said) => entry(tar, path, b'2', *said, "nowhere"),
        Op::Directory(path, said) => entry(tar, path, b'5', *said, ""),
        Op::Whiteout(path) => match path.rsplit_once('/') {
            Some((parent, name)) => tar.file(&format!("{parent}/.wh.{name}"), ""),
            None => tar.file(&format!(".wh.{path}"), ""),
        },
        Op::Opaque(path) => tar.file(&format!("{path}/.wh..wh..opq"), ""),
    })
}

fn below<'a>(tree: &'a Tree, path: &str) -> impl Iterator<Item = String> + 'a {
    let prefix = format!("{path}/");
    tree.keys().filter(move |key| key.starts_with(&prefix)).cloned()
}

/// Removes what lower layers have at `path`.
fn remove_lower(tree: &mut Tree, path: &str) {
    let Some(node) = tree.get_mut(path) else { return };
    if !node.own {
        tree.remove(path);
    } else if node.content.is_none() && !node.named {
        node.look = Look::IMPLICIT;
    }
}

/// Removes what lower layers have below `path`.
fn remove_lower_below(tree: &mut Tree, path: &str) {
    below(tree, path).collect::<Vec<_>>().iter().for_each(|name| remove_lower(tree, name));
}

/// Makes `path` a directory of this layer; false if this layer has a file there.
fn ensure(tree: &mut Tree, path: &str) -> bool {
    for (end, _) in path.match_indices('/').chain([(path.len(), "")]) {
        let part = &path[..end];
        match tree.get_mut(part) {
            Some(node) if node.content.is_none() => node.own = true,
            Some(node) if node.own => return false,
            _ => {
                let node = Node { content: None, own: true, named: false, look: Look::IMPLICIT };
                tree.insert(part.to_owned(), node);
            }
        }
    }
    true
}

/// Extracts a layer into `tree`; false if it cannot be.
fn apply(tree: &mut Tree, ops: &[Op], layer: usize) -> bool {
    tree.values_mut().for_each(|node| (node.own, node.named) = (false, false));
    for (position, op) in ops.iter().enumerate() {
        let (Op::File(path, _) | Op::Fifo(path, _) | Op::Symlink(path, _) | Op::Directory(path, _)) = op else {
            let (Op::Whiteout(path) | Op::Opaque(path)) = op else { unreachable!() };
            let directory = if matches!(op, Op::Opaque(_)) { Some(&path[..]) } else { parent(path) };
            if directory.is_some_and(|directory| !ensure(tree, directory)) {
                return false;
            }
            remove_lower_below(tree, path);
            if matches!(op, Op::Whiteout(_)) {
                remove_lower(tree, path);
            }
            continue;
        };
        if parent(path).is_some_and(|parent| !ensure(tree, parent)) {
            return false;
        }
        let (content, look) = match op {
            Op::File(_, said) => (Some(format!("{layer}.{position}")), said.look(b'0', layer)),
            Op::Fifo(_, said) => (Some("fifo".to_owned()), said.look(b'6', layer)),
            Op::Symlink(_, said) => (Some("nowhere".to_owned()), said.look(b'2', layer)),
            Op::Directory(_, said) => (None, said.look(b'5', layer)),
            Op::Whiteout(_) | Op::Opaque(_) => unreachable!(),
        };
        if content.is_some() {
            below(tree, path).collect::<Vec<_>>().iter().for_each(|name| drop(tree.remove(name)));
        }
        tree.insert(path.clone(), Node { content, own: true, named: true, look });
    }
    true
}

fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(parent, _)| parent)
}

fn shown(tree: &Tree) -> Shown {
    tree.iter().map(|(path, node)| (path.clone(), (node.content.clone(), node.look.clone()))).collect()
}

/// What is seen of a file, and whether it is a directory.
fn seen(path: &Path) -> (Option<String>, Look) {
    let file_type = fs::symlink_metadata(path).unwrap().file_type();
    let content = if file_type.is_dir() {
        None
    } else if file_type.is_symlink() {
        Some(fs::read_link(path).unwrap().to_str().unwrap().to_owned())
    } else if file_type.is_fifo() {
        Some("fifo".to_owned())
    } else {
        Some(fs::read_to_string(path).unwrap())
    };
    (content, Look::of(path))
}

fn merged(layers: &[&Volume]) -> Shown {
    let fds: Vec<BorrowedFd<'_>> = layers.iter().map(|layer| layer.fd()).collect();
    let mut view = MergedView::new(&fds, WhiteoutFormat::Overlay);
    let mut found = Shown::new();
    let mut ahead = vec![PathBuf::new()];
    while let Some(directory) = ahead.pop() {
        let mut files = Vec::new();
        let listed = view.each_file(&directory, |_, _, file| {
            files.push(file);
            Ok::<_, std::io::Error>(())
        });
        listed.unwrap();
        for file in files {
            let name = file.path.to_str().unwrap().to_owned();
            let seen = seen(&layers[file.layer].path(&name));
            if seen.0.is_none() {
                ahead.push(file.path);
            }
            found.insert(name, seen);
        }
    }
    found
}

/// What the kernel shows. The mount lives and dies with a namespace of its own.
fn mounted(layers: &[&Volume]) -> Shown {
    fn walk(root: &Path, directory: &Path, found: &mut Shown) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let seen = seen(&path);
            if seen.0.is_none() {
                walk(root, &path, found);
            }
            found.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), seen);
        }
    }
    let lower: Vec<String> =
        layers.iter().map(|layer| layer.path("").to_str().unwrap().trim_end_matches('/').into()).collect();
    let (empty, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let target = target.path();
    let options = format!("lowerdir={}:{}", lower.join(":"), empty.path().display());
    let options = std::ffi::CString::new(options).unwrap();
    std::thread::scope(|scope| {
        let walker = scope.spawn(|| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
            mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE).unwrap();
            mount("overlay", target, "overlay", MountFlags::RDONLY, Some(options.as_c_str())).unwrap();
            let mut found = Shown::new();
            walk(target, target, &mut found);
            found
        });
        walker.join().unwrap()
    })
}

/// A volume whose root may be one that hands down a group and permissions.
fn new_volume(hands_down: bool) -> Volume {
    let volume = Volume::new();
    if hands_down {
        hand_down(&volume.path(""));
    }
    volume
}

/// A layer unpacked into a volume of its own, with the volumes below at hand.
fn on_top_of(below: &[Volume], tar: Tar, whiteouts: WhiteoutFormat, hands_down: bool) -> Result<Volume, Error> {
    let parents: Vec<BorrowedFd<'_>> = below.iter().rev().map(Volume::fd).collect();
    let volume = new_volume(hands_down);
    volume.unpack_stream(&tar.end(), &Layer { whiteouts, ..layer() })?.finish(
        volume.fd(),
        &parents,
        &LeftOut::default(),
    )?;
    Ok(volume)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn stacked_layers_are_what_extracting_them_in_order_gives(
        layers in prop::collection::vec(ops(), 1..=4),
        roots_hand_down in any::<bool>(),
    ) {
        let mut tree = Tree::new();
        let mut volumes: Vec<Volume> = Vec::new();
        let mut unmarked: Vec<Volume> = Vec::new();
        let in_place = new_volume(roots_hand_down);
        for (number, ops) in layers.iter().enumerate() {
            let result = on_top_of(&volumes, archive(ops, number), WhiteoutFormat::Overlay, roots_hand_down);
            let devices = on_top_of(&unmarked, archive(ops, number), WhiteoutFormat::OverlayDevices, roots_hand_down);
            let removal = in_place.unpack_stream(&archive(ops, number).end(), &removal());
            if !apply(&mut tree, ops, number) {
                prop_assert!(result.is_err() && devices.is_err() && removal.is_err());
                return Ok(());
            }
            prop_assert!(removal.is_ok(), "{}", text(removal));
            prop_assert_eq!(merged(&[&in_place]), shown(&tree));
            volumes.push(result.unwrap());
            unmarked.push(devices.unwrap());
        }
        for volumes in [&volumes, &unmarked] {
            let stack: Vec<&Volume> = volumes.iter().rev().collect();
            prop_assert_eq!(merged(&stack), shown(&tree));
            prop_assert_eq!(mounted(&stack), shown(&tree));
        }
    }
}
