//! Several volumes as one, for mounts that have room for few.
//!
//! The copy is what an overlay of the volumes would show. Files share their blocks with the originals where the
//! filesystem can (XFS with reflink, btrfs), so it takes little but names.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, linkat, mkdirat, openat};

use super::attributes::{AlreadySet, Target};
use super::copyup::{attributes_of, copy_up};
use super::error::Error;
use super::merged::{MergedFile, MergedView};
use super::{WhiteoutFormat, pipeline};
use crate::sys::confine::Confinement;
use crate::sys::dirfd;

/// Fills the empty directory `target` with what `volumes`, topmost first, show together.
///
/// # Errors
/// See [`Error`].
pub fn flatten(volumes: &[BorrowedFd<'_>], target: BorrowedFd<'_>, whiteouts: WhiteoutFormat) -> Result<(), Error> {
    pipeline::in_volume(target, |confinement| {
        let mut view = MergedView::new(volumes, whiteouts);
        let root = view.lookup(Path::new("")).map_err(|e| Error::file("reading", "/", e))?;
        let Some(root) = root else { return Ok(()) };
        Flattening { view, target, confinement, links: HashMap::new() }.fill(&root, target)
    })
}

struct Flattening<'a> {
    view: MergedView<'a>,
    target: BorrowedFd<'a>,
    confinement: Confinement,
    /// Files with several names, by volume and inode: where the first of them was copied to.
    links: HashMap<(usize, u64), PathBuf>,
}

impl Flattening<'_> {
    fn fill(&mut self, directory: &MergedFile, copy: BorrowedFd<'_>) -> Result<(), Error> {
        let path = &directory.path;
        for (name, file) in self.view.read_dir(path).map_err(|e| Error::file("reading", path, e))? {
            if dirfd::file_type(&file.stat).is_dir() {
                let failed = |errno| Error::file("creating directory", &file.path, errno);
                mkdirat(copy, &name, Mode::RWXU).map_err(failed)?;
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let child = openat(copy, &name, flags, Mode::empty()).map_err(failed)?;
                self.fill(&file, child.as_fd())?;
            } else {
                self.copy(&file, copy, &name)?;
            }
        }
        // After its entries, which would change its times.
        let shown = self.view.open(directory, OFlags::RDONLY | OFlags::DIRECTORY);
        let attributes = shown.and_then(|shown| attributes_of(shown, &directory.stat));
        let attributes = attributes.map_err(|e| Error::file("reading", path, e))?;
        attributes.apply(&Target::Open { file: copy, noun: "directory", path }, AlreadySet::default())
    }

    fn copy(&mut self, file: &MergedFile, directory: BorrowedFd<'_>, name: &std::ffi::OsStr) -> Result<(), Error> {
        let key = (file.layer, file.stat.st_ino);
        if let Some(first) = self.links.get(&key) {
            let linked = linkat(self.target, first, directory, name, AtFlags::empty());
            return linked.map_err(|errno| Error::link(first, &file.path, errno));
        }
        copy_up(&self.view, file, directory, name, &file.path, self.confinement)?;
        if file.stat.st_nlink > 1 {
            self.links.insert(key, file.path.clone());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    #[test]
    fn shows_what_an_overlay_would() {
        let root = tempfile::tempdir().unwrap();
        let [lower, upper, flat] = ["lower", "upper", "flat"].map(|name| {
            fs::create_dir(root.path().join(name)).unwrap();
            root.path().join(name)
        });
        fs::create_dir(lower.join("d")).unwrap();
        fs::write(lower.join("d/below"), "lower").unwrap();
        fs::write(lower.join("d/both"), "lower").unwrap();
        fs::hard_link(lower.join("d/below"), lower.join("linked")).unwrap();
        fs::create_dir(upper.join("d")).unwrap();
        fs::set_permissions(upper.join("d"), fs::Permissions::from_mode(0o710)).unwrap();
        fs::write(upper.join("d/both"), "upper").unwrap();

        let (upper, lower) = (File::open(upper).unwrap(), File::open(lower).unwrap());
        let target = File::open(&flat).unwrap();
        flatten(&[upper.as_fd(), lower.as_fd()], target.as_fd(), WhiteoutFormat::Overlay).unwrap();

        assert_eq!(fs::read_to_string(flat.join("d/both")).unwrap(), "upper");
        assert_eq!(fs::metadata(flat.join("d")).unwrap().mode() & 0o7777, 0o710);
        let (below, linked) = (fs::metadata(flat.join("d/below")).unwrap(), fs::metadata(flat.join("linked")).unwrap());
        assert_eq!((below.ino(), below.nlink()), (linked.ino(), 2));
    }
}
