//! Layers at random, stacked: the merged view, the kernel's overlay and a model of extracting one layer into the other
//! must agree.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};

use super::*;
use crate::unpacker::MergedView;

#[derive(Debug, Clone)]
enum Op {
    File(String),
    Directory(String),
    Whiteout(String),
    Opaque(String),
}

/// What is at a path: content of a file, or `None` for a directory; and whether the layer at hand put it there.
#[derive(Debug, Clone, PartialEq)]
struct Node {
    content: Option<String>,
    own: bool,
}

type Tree = BTreeMap<String, Node>;

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let name = prop::sample::select(vec!["a", "b", "c"]);
    let path = prop::collection::vec(name, 1..=3).prop_map(|names| names.join("/"));
    let op = (0..6, path).prop_map(|(kind, path)| match kind {
        0..=1 => Op::File(path),
        2 => Op::Directory(path),
        3..=4 => Op::Whiteout(path),
        _ => Op::Opaque(path),
    });
    prop::collection::vec(op, 0..10)
}

fn archive(ops: &[Op], layer: usize) -> Tar {
    ops.iter().enumerate().fold(Tar::new(), |tar, (position, op)| match op {
        Op::File(path) => tar.file(path, &format!("{layer}.{position}")),
        Op::Directory(path) => tar.directory(path, 0o755),
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

fn remove_lower(tree: &mut Tree, path: &str) {
    for name in below(tree, path).collect::<Vec<_>>() {
        if !tree[&name].own {
            tree.remove(&name);
        }
    }
}

/// Makes `path` a directory of this layer; false if this layer has a file there.
fn ensure(tree: &mut Tree, path: &str) -> bool {
    for (end, _) in path.match_indices('/').chain([(path.len(), "")]) {
        let part = &path[..end];
        match tree.get_mut(part) {
            Some(node) if node.content.is_none() => node.own = true,
            Some(node) if node.own => return false,
            _ => {
                tree.insert(part.to_owned(), Node { content: None, own: true });
            }
        }
    }
    true
}

/// Extracts a layer into `tree`; false if it cannot be.
fn apply(tree: &mut Tree, ops: &[Op], layer: usize) -> bool {
    tree.values_mut().for_each(|node| node.own = false);
    for (position, op) in ops.iter().enumerate() {
        let (Op::File(path) | Op::Directory(path) | Op::Whiteout(path) | Op::Opaque(path)) = op;
        if path.rsplit_once('/').is_some_and(|(parent, _)| !ensure(tree, parent)) {
            return false;
        }
        match op {
            Op::File(_) => {
                below(tree, path).collect::<Vec<_>>().iter().for_each(|name| drop(tree.remove(name)));
                tree.insert(path.clone(), Node { content: Some(format!("{layer}.{position}")), own: true });
            }
            Op::Directory(_) => match tree.get_mut(path) {
                Some(node) if node.content.is_none() => node.own = true,
                _ => drop(tree.insert(path.clone(), Node { content: None, own: true })),
            },
            Op::Whiteout(_) => {
                remove_lower(tree, path);
                if tree.get(path).is_some_and(|node| !node.own) {
                    tree.remove(path);
                }
            }
            Op::Opaque(_) => {
                if !ensure(tree, path) {
                    return false;
                }
                remove_lower(tree, path);
            }
        }
    }
    true
}

fn contents(tree: &Tree) -> BTreeMap<String, Option<String>> {
    tree.iter().map(|(path, node)| (path.clone(), node.content.clone())).collect()
}

fn merged(layers: &[&Volume]) -> BTreeMap<String, Option<String>> {
    let fds: Vec<BorrowedFd<'_>> = layers.iter().map(|layer| layer.fd()).collect();
    let mut view = MergedView::new(&fds, WhiteoutFormat::Overlay);
    let mut found = BTreeMap::new();
    let mut ahead = vec![PathBuf::new()];
    while let Some(directory) = ahead.pop() {
        for (_, file) in view.read_dir(&directory).unwrap() {
            let name = file.path.to_str().unwrap().to_owned();
            let is_directory = crate::sys::dirfd::file_type(&file.stat).is_dir();
            found.insert(name.clone(), (!is_directory).then(|| layers[file.layer].read(&name)));
            if is_directory {
                ahead.push(file.path);
            }
        }
    }
    found
}

/// What the kernel shows. The mount lives and dies with a namespace of its own.
fn mounted(layers: &[&Volume]) -> BTreeMap<String, Option<String>> {
    fn walk(root: &Path, directory: &Path, found: &mut BTreeMap<String, Option<String>>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            let is_directory = path.is_dir();
            found.insert(name, (!is_directory).then(|| fs::read_to_string(&path).unwrap()));
            if is_directory {
                walk(root, &path, found);
            }
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
            let mut found = BTreeMap::new();
            walk(target, target, &mut found);
            found
        });
        walker.join().unwrap()
    })
}

/// A layer unpacked into a volume of its own, with the volumes below at hand.
fn on_top_of(below: &[Volume], tar: Tar, whiteouts: WhiteoutFormat) -> Result<Volume, Error> {
    let parents: Vec<BorrowedFd<'_>> = below.iter().rev().map(Volume::fd).collect();
    let volume = Volume::new();
    volume.unpack_stream(&tar.end(), &Layer { whiteouts, ..layer() })?.finish(volume.fd(), &parents)?;
    Ok(volume)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn stacked_layers_are_what_extracting_them_in_order_gives(layers in prop::collection::vec(ops(), 1..=4)) {
        let mut tree = Tree::new();
        let mut volumes: Vec<Volume> = Vec::new();
        let mut unmarked: Vec<Volume> = Vec::new();
        let in_place = Volume::new();
        for (number, ops) in layers.iter().enumerate() {
            let result = on_top_of(&volumes, archive(ops, number), WhiteoutFormat::Overlay);
            let devices = on_top_of(&unmarked, archive(ops, number), WhiteoutFormat::OverlayDevices);
            let removal = in_place.unpack_stream(&archive(ops, number).end(), &removal());
            if !apply(&mut tree, ops, number) {
                prop_assert!(result.is_err() && devices.is_err() && removal.is_err());
                return Ok(());
            }
            prop_assert!(removal.is_ok(), "{}", text(removal));
            prop_assert_eq!(merged(&[&in_place]), contents(&tree));
            volumes.push(result.unwrap());
            unmarked.push(devices.unwrap());
        }
        for volumes in [&volumes, &unmarked] {
            let stack: Vec<&Volume> = volumes.iter().rev().collect();
            prop_assert_eq!(merged(&stack), contents(&tree));
            prop_assert_eq!(mounted(&stack), contents(&tree));
        }
    }
}
