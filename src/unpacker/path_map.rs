//! Something noted of many paths of one tree.
//!
//! A layer may name a million paths of 4,000 bytes each, most of them alike. So each name is kept once for its directory,
//! and to find a path takes one step for each of its names, whatever else is there. What all maps of an image take is
//! counted against one budget.

use std::ffi::OsStr;
use std::hash::{BuildHasher, RandomState};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use hashbrown::HashTable;

use crate::limits::{Exceeded, MemoryBudget, Reservation};

/// A path in a [`PathMap`]. It stays the same as long as there is something noted at or below the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PathId(u32);

const ROOT: u32 = 0;
/// No node.
const NONE: u32 = u32::MAX;

struct Node<T> {
    parent: u32,
    first_child: u32,
    /// The neighbours among the children of one parent; `next` leads from one unused node to another.
    next: u32,
    previous: u32,
    name_start: u32,
    name_length: u32,
    value: Option<T>,
}

/// A map from relative, clean paths to notes.
pub(super) struct PathMap<T> {
    nodes: Vec<Node<T>>,
    /// All names, one after the other.
    names: Vec<u8>,
    /// Nodes by parent and name.
    index: HashTable<u32>,
    hasher: RandomState,
    unused: u32,
    memory: Reservation,
}

impl<T> PathMap<T> {
    /// Bytes that a path takes beside its name; the index is half empty at worst.
    const COST: usize = size_of::<Node<T>>() + 10;

    pub(super) fn new(budget: &Arc<MemoryBudget>) -> Self {
        let root = Node {
            parent: NONE,
            first_child: NONE,
            next: NONE,
            previous: NONE,
            name_start: 0,
            name_length: 0,
            value: None,
        };
        Self {
            nodes: vec![root],
            names: Vec::new(),
            index: HashTable::new(),
            hasher: RandomState::new(),
            unused: NONE,
            memory: Reservation::of(budget),
        }
    }

    /// Counts `bytes` that a note holds elsewhere, for as long as this map lives.
    pub(super) fn reserve(&mut self, bytes: usize) -> Result<(), Exceeded> {
        self.memory.take(bytes)
    }

    pub(super) fn budget(&self) -> &Arc<MemoryBudget> {
        self.memory.budget()
    }

    pub(super) fn get(&self, path: &Path) -> Option<&T> {
        self.node(self.find(path)?).value.as_ref()
    }

    pub(super) fn get_mut(&mut self, path: &Path) -> Option<&mut T> {
        let node = self.find(path)?;
        self.node_mut(node).value.as_mut()
    }

    /// What is noted at a path that something was noted at.
    pub(super) fn at(&self, id: PathId) -> Option<&T> {
        self.nodes.get(id.0 as usize)?.value.as_ref()
    }

    pub(super) fn at_mut(&mut self, id: PathId) -> Option<&mut T> {
        self.nodes.get_mut(id.0 as usize)?.value.as_mut()
    }

    /// Whether anything is noted at `path` or below it.
    pub(super) fn has_below(&self, path: &Path) -> bool {
        self.find(path).is_some_and(|node| node != ROOT || self.node(ROOT).first_child != NONE || self.is_set(ROOT))
    }

    /// Whether a note on a directory above `path` is such a one.
    pub(super) fn any_above(&self, path: &Path, is_such: impl Fn(&T) -> bool) -> bool {
        let is_such = |node: u32| self.node(node).value.as_ref().is_some_and(&is_such);
        let mut node = ROOT;
        for name in names(path) {
            if is_such(node) {
                return true;
            }
            match self.child_named(node, name) {
                Some(child) => node = child,
                None => return false,
            }
        }
        false
    }

    /// The path of a note.
    pub(super) fn path(&self, id: PathId) -> PathBuf {
        let mut names = Vec::new();
        let mut node = id.0;
        while node != ROOT && node != NONE {
            names.push(self.name(node));
            node = self.node(node).parent;
        }
        names.into_iter().rev().map(OsStr::from_bytes).collect()
    }

    /// The last name of a path; empty for the root.
    pub(super) fn last_name(&self, id: PathId) -> &OsStr {
        OsStr::from_bytes(self.name(id.0))
    }

    /// The id of `path`, if anything is noted there or below.
    pub(super) fn find_id(&self, path: &Path) -> Option<PathId> {
        self.find(path).map(PathId)
    }

    /// `name` in the directory `id`, if anything is noted there or below.
    pub(super) fn child(&self, id: PathId, name: &OsStr) -> Option<PathId> {
        self.child_named(id.0, name).map(PathId)
    }

    /// Takes the note of `id`, without giving its place to others.
    pub(super) fn take(&mut self, id: PathId) -> Option<T> {
        self.nodes.get_mut(id.0 as usize)?.value.take()
    }

    /// Notes `value` of `path`.
    pub(super) fn set(&mut self, path: &Path, value: T) -> Result<PathId, Exceeded> {
        let node = self.find_or_make(path)?;
        self.node_mut(node).value = Some(value);
        Ok(PathId(node))
    }

    /// Notes `value` of `name` in the directory `parent`.
    pub(super) fn set_in(&mut self, parent: PathId, name: &OsStr, value: T) -> Result<PathId, Exceeded> {
        let node = match self.child_named(parent.0, name) {
            Some(child) => child,
            None => self.make(parent.0, name)?,
        };
        self.node_mut(node).value = Some(value);
        Ok(PathId(node))
    }

    /// The root.
    pub(super) fn root() -> PathId {
        PathId(ROOT)
    }

    /// The directories and files one below `id` at or below which something is noted.
    pub(super) fn children(&self, id: PathId) -> Vec<PathId> {
        let mut children = Vec::new();
        let mut child = self.nodes.get(id.0 as usize).map_or(NONE, |node| node.first_child);
        while child != NONE {
            children.push(PathId(child));
            child = self.node(child).next;
        }
        children
    }

    /// All paths that something is noted at, directories before what is in them.
    pub(super) fn top_down(&self) -> Vec<PathId> {
        let mut all = Vec::new();
        let mut ahead = vec![ROOT];
        while let Some(node) = ahead.pop() {
            if self.is_set(node) {
                all.push(PathId(node));
            }
            ahead.extend(self.children(PathId(node)).iter().map(|child| child.0));
        }
        all
    }

    /// Removes and returns the note at `path`.
    pub(super) fn remove(&mut self, path: &Path) -> Option<T> {
        let node = self.find(path)?;
        let value = self.node_mut(node).value.take();
        self.prune(node);
        value
    }

    /// Removes all notes at `path` and below it.
    pub(super) fn remove_below(&mut self, path: &Path) {
        let Some(top) = self.find(path) else { return };
        let parent = self.node(top).parent;
        self.free(top);
        self.prune(parent);
    }

    /// Has what is noted at and below `from`, which `to` is not in, noted of `to` and below it. Where both have a note, `merge`
    /// makes one of that of `from` and the other. Returns the paths that are new or changed, without what is below them.
    pub(super) fn move_below(
        &mut self,
        from: &Path,
        to: &Path,
        merge: impl Fn(T, T) -> T,
    ) -> Result<Vec<PathId>, Exceeded> {
        let mut moved = Vec::new();
        let Some(source) = self.find(from).filter(|source| *source != ROOT) else { return Ok(moved) };
        let target = self.find_or_make(to)?;
        let parent = self.node(source).parent;
        if source == target {
            return Ok(moved);
        }
        // What comes in the place of `from` itself, where `to` is above it, is not to be taken for it.
        self.unlink(source);
        let mut ahead = vec![(source, target)];
        while let Some((source, target)) = ahead.pop() {
            if let Some(value) = self.node_mut(source).value.take() {
                let there = &mut self.node_mut(target).value;
                *there = Some(match there.take() {
                    Some(there) => merge(value, there),
                    None => value,
                });
                moved.push(PathId(target));
            }
            for PathId(child) in self.children(PathId(source)) {
                match self.child_of_bytes(target, self.name(child)) {
                    Some(existing) => ahead.push((child, existing)),
                    None => {
                        self.unlink(child);
                        self.link(child, target);
                        moved.push(PathId(child));
                    }
                }
            }
        }
        self.free_unlinked(source);
        self.prune(parent);
        self.prune(target);
        Ok(moved)
    }

    fn node(&self, node: u32) -> &Node<T> {
        &self.nodes[node as usize]
    }

    fn node_mut(&mut self, node: u32) -> &mut Node<T> {
        &mut self.nodes[node as usize]
    }

    fn is_set(&self, node: u32) -> bool {
        self.node(node).value.is_some()
    }

    fn name(&self, node: u32) -> &[u8] {
        let Node { name_start, name_length, .. } = *self.node(node);
        &self.names[name_start as usize..][..name_length as usize]
    }

    fn find(&self, path: &Path) -> Option<u32> {
        names(path).try_fold(ROOT, |node, name| self.child_named(node, name))
    }

    fn child_named(&self, parent: u32, name: &OsStr) -> Option<u32> {
        self.child_of_bytes(parent, name.as_bytes())
    }

    fn child_of_bytes(&self, parent: u32, name: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one((parent, name));
        self.index.find(hash, |node| self.node(*node).parent == parent && self.name(*node) == name).copied()
    }

    fn find_or_make(&mut self, path: &Path) -> Result<u32, Exceeded> {
        let mut node = ROOT;
        for name in names(path) {
            node = match self.child_named(node, name) {
                Some(child) => child,
                None => self.make(node, name)?,
            };
        }
        Ok(node)
    }

    fn make(&mut self, parent: u32, name: &OsStr) -> Result<u32, Exceeded> {
        self.memory.take(Self::COST + name.len())?;
        // The budget is far below what these numbers can count.
        let (name_start, name_length) = (self.names.len() as u32, name.len() as u32);
        self.names.extend_from_slice(name.as_bytes());
        let node = Node { parent, first_child: NONE, next: NONE, previous: NONE, name_start, name_length, value: None };
        let number = match self.unused {
            NONE => {
                self.nodes.push(node);
                self.nodes.len() as u32 - 1
            }
            unused => {
                self.unused = self.node(unused).next;
                *self.node_mut(unused) = node;
                unused
            }
        };
        self.link(number, parent);
        Ok(number)
    }

    /// Makes `node` a child of `parent`.
    fn link(&mut self, node: u32, parent: u32) {
        let first = std::mem::replace(&mut self.node_mut(parent).first_child, node);
        let this = self.node_mut(node);
        (this.parent, this.next, this.previous) = (parent, first, NONE);
        if first != NONE {
            self.node_mut(first).previous = node;
        }
        let Self { nodes, names, index, hasher, .. } = self;
        let hash = |node: &u32| {
            let Node { parent, name_start, name_length, .. } = nodes[*node as usize];
            hasher.hash_one((parent, &names[name_start as usize..][..name_length as usize]))
        };
        index.insert_unique(hash(&node), node, hash);
    }

    fn unlink(&mut self, node: u32) {
        self.remove_from_index(node);
        let Node { parent, next, previous, .. } = *self.node(node);
        match previous {
            NONE => self.node_mut(parent).first_child = next,
            previous => self.node_mut(previous).next = next,
        }
        if next != NONE {
            self.node_mut(next).previous = previous;
        }
    }

    fn remove_from_index(&mut self, node: u32) {
        let hash = self.hasher.hash_one((self.node(node).parent, self.name(node)));
        if let Ok(entry) = self.index.find_entry(hash, |other| *other == node) {
            entry.remove();
        }
    }

    /// Takes `top` and all below it out of use; of the root, all below it.
    fn free(&mut self, top: u32) {
        if top != ROOT {
            self.unlink(top);
        }
        self.free_unlinked(top);
    }

    fn free_unlinked(&mut self, top: u32) {
        let mut ahead = vec![top];
        while let Some(node) = ahead.pop() {
            for PathId(child) in self.children(PathId(node)) {
                self.remove_from_index(child);
                ahead.push(child);
            }
            let unused = self.unused;
            let this = self.node_mut(node);
            (this.value, this.first_child) = (None, NONE);
            if node != ROOT {
                (this.parent, this.next) = (NONE, unused);
                self.unused = node;
                // Not the name, which stays where it is.
                self.memory.give(Self::COST);
            }
        }
    }

    /// Takes `node` and those above it out of use as far as nothing is noted there or below.
    fn prune(&mut self, mut node: u32) {
        while node != ROOT && node != NONE && !self.is_set(node) && self.node(node).first_child == NONE {
            let parent = self.node(node).parent;
            self.free(node);
            node = parent;
        }
    }
}

impl<T: Default> PathMap<T> {
    /// The note at `path`, a default one if there was none.
    pub(super) fn entry(&mut self, path: &Path) -> Result<&mut T, Exceeded> {
        let node = self.find_or_make(path)?;
        Ok(self.node_mut(node).value.get_or_insert_default())
    }

    /// The id of `path`, noted from now on.
    pub(super) fn id(&mut self, path: &Path) -> Result<PathId, Exceeded> {
        let node = self.find_or_make(path)?;
        self.node_mut(node).value.get_or_insert_default();
        Ok(PathId(node))
    }
}

fn names(path: &Path) -> impl Iterator<Item = &OsStr> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn map(budget: u64) -> PathMap<u32> {
        PathMap::new(&MemoryBudget::new(budget))
    }

    /// The same with a map of whole paths.
    #[derive(Default)]
    struct Model(BTreeMap<PathBuf, u32>);

    impl Model {
        fn take_below(&mut self, path: &Path) -> Vec<(PathBuf, u32)> {
            let below: Vec<PathBuf> = self.0.keys().filter(|key| key.starts_with(path)).cloned().collect();
            below.into_iter().filter_map(|key| self.0.remove_entry(&key)).collect()
        }
    }

    #[test]
    fn behaves_as_a_map_of_whole_paths() {
        let mut random = 7_u32;
        let mut next = |below: u32| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 8) % below
        };
        let (mut map, mut model) = (map(1 << 20), Model::default());
        for round in 0..20_000 {
            let mut path = || -> PathBuf { (0..next(5)).map(|_| ["a", "b", "c"][next(3) as usize]).collect() };
            let (path, other) = (path(), path());
            match next(8) {
                0..4 => {
                    *map.entry(&path).unwrap() = round;
                    model.0.insert(path.clone(), round);
                }
                4 => assert_eq!(map.remove(&path), model.0.remove(&path)),
                5 => {
                    map.remove_below(&path);
                    model.take_below(&path);
                }
                6 if !other.starts_with(&path) => {
                    map.move_below(&path, &other, |from, _| from).unwrap();
                    for (from, value) in model.take_below(&path) {
                        model.0.insert(other.join(from.strip_prefix(&path).unwrap()), value);
                    }
                }
                _ => {}
            }
            assert_eq!(map.get(&other), model.0.get(&other), "{round}");
            assert_eq!(map.has_below(&other), model.0.keys().any(|key| key.starts_with(&other)), "{round}");
            let is_odd = |value: &u32| value % 2 == 1;
            let above = other.ancestors().skip(1).any(|above| model.0.get(above).is_some_and(is_odd));
            assert_eq!(map.any_above(&other, is_odd), above, "{round}");
            if round % 100 == 0 {
                let all = map.top_down();
                let noted: BTreeMap<PathBuf, u32> =
                    all.iter().map(|id| (map.path(*id), *map.at(*id).unwrap())).collect();
                assert_eq!(noted, model.0);
            }
        }
        let all: Vec<PathBuf> = map.top_down().into_iter().map(|id| map.path(id)).collect();
        let follows = |path: &Path, before: &[PathBuf]| !before.iter().any(|earlier| earlier.starts_with(path));
        assert!((1..all.len()).all(|index| follows(&all[index], &all[..index])), "directories come first: {all:?}");
    }

    #[test]
    fn memory_is_counted_and_given_back() {
        let budget = MemoryBudget::new(10_000);
        let mut map: PathMap<u32> = PathMap::new(&budget);
        let full = (0..).find_map(|number| map.entry(Path::new(&number.to_string())).err()).unwrap();
        assert_eq!((full.key, full.limit), ("memory_bytes", 10_000));
        drop(map);
        let mut map: PathMap<u32> = PathMap::new(&budget);
        // Paths that are alike take hardly more than one of them.
        let deep = "d/".repeat(60);
        for number in 0..50 {
            map.entry(Path::new(&format!("{deep}{number}"))).unwrap();
        }
        for number in 0..10_000 {
            map.entry(Path::new("x")).map(|note| *note = number).unwrap();
            if number % 64 == 0 {
                map.remove_below(Path::new(""));
            }
        }
    }
}
