//! A path walked step by step, symlinks followed as by a process whose root the tree is.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;

use super::path;

/// As many as Linux follows (path_resolution(7)).
const MAX_SYMLINKS: usize = 40;

/// Where a walk has come to, and what is still before it. Whoever walks looks at each name in turn.
pub(super) struct Route {
    /// The names still to be looked at, the next one last.
    ahead: Vec<OsString>,
    /// The way so far, without symlinks.
    real: PathBuf,
    symlinks: usize,
    /// The way has led elsewhere than down since it was last asked.
    has_jumped: bool,
}

impl Route {
    pub(super) fn new(path: &Path) -> Self {
        Self { ahead: steps(path), real: PathBuf::new(), symlinks: 0, has_jumped: false }
    }

    /// The directory come to.
    pub(super) fn real(&self) -> &Path {
        &self.real
    }

    /// The next name to be looked at in [`Self::real`]; `..` leads up, and from the root nowhere.
    pub(super) fn next(&mut self) -> Option<OsString> {
        loop {
            let step = self.ahead.pop()?;
            if step != ".." {
                return Some(step);
            }
            self.real.pop();
            self.has_jumped = true;
        }
    }

    /// Whether the directory come to is another one than a step down from the one before led to.
    pub(super) fn take_jump(&mut self) -> bool {
        std::mem::take(&mut self.has_jumped)
    }

    /// The names ahead that lead down, up to the next `..`; `None` at the end of the way.
    pub(super) fn straight_ahead(&mut self) -> Option<PathBuf> {
        while self.ahead.last()? == ".." {
            self.ahead.pop();
            self.real.pop();
            self.has_jumped = true;
        }
        Some(self.ahead.iter().rev().take_while(|step| *step != "..").collect())
    }

    /// Goes on below the next `count` names, none of which is a symlink.
    pub(super) fn pass(&mut self, count: usize) {
        for _ in 0..count {
            self.real.extend(self.ahead.pop());
        }
    }

    /// Goes on below `step`, which is no symlink.
    pub(super) fn enter(&mut self, step: OsString) {
        self.real.push(step);
    }

    /// Goes on where a symlink leads whose text is `text`. Returns how many names that adds to the way.
    ///
    /// # Errors
    /// `ELOOP` when there have been too many.
    pub(super) fn follow(&mut self, text: &Path) -> Result<usize, Errno> {
        self.symlinks += 1;
        if self.symlinks > MAX_SYMLINKS {
            return Err(Errno::LOOP);
        }
        if text.has_root() {
            self.real.clear();
            self.has_jumped = true;
        }
        let steps = steps(text);
        let names = steps.len() + 1;
        self.ahead.extend(steps);
        Ok(names)
    }

    /// The end of the walk.
    pub(super) fn arrived(self) -> PathBuf {
        self.real
    }

    /// The path meant where `step` does not exist: all that is ahead is taken as it is written.
    pub(super) fn missing(mut self, step: OsString) -> PathBuf {
        self.real.push(step);
        let rest: PathBuf = self.ahead.into_iter().rev().collect();
        path::clean(&self.real, rest.as_os_str().as_encoded_bytes())
    }
}

/// The components of `path`, the first one last.
fn steps(path: &Path) -> Vec<OsString> {
    let named = |component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    };
    path.components().rev().filter_map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symlinks_stay_inside_and_come_to_an_end() {
        let mut route = Route::new(Path::new("a/../../d/link/x"));
        assert_eq!(route.next().unwrap(), "a");
        route.enter("a".into());
        assert_eq!((route.next().unwrap(), route.real()), ("d".into(), Path::new("")));
        route.enter("d".into());
        assert_eq!(route.next().unwrap(), "link");
        route.follow(Path::new("/b")).unwrap();
        assert_eq!((route.next().unwrap(), route.real()), ("b".into(), Path::new("")));
        assert_eq!(Route::new(Path::new("p/q/../r")).missing("o".into()), Path::new("o/p/r"));
        for _ in 1..MAX_SYMLINKS {
            route.follow(Path::new("again")).unwrap();
        }
        assert_eq!(route.follow(Path::new("again")), Err(Errno::LOOP));
    }
}
