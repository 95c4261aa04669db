//! Volumes that an image declares (`VOLUME`): directories of the image that the caller bind-mounts over those of its root
//! filesystem. Each begins as a copy of the directory that it hides, so that the container finds there what the image
//! has, and may write where the image lets it.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::driver::{Mount, VolumeSize};
use crate::image::Layer;
use crate::store::Store;
use crate::store::image::error::VolumeError;
use crate::store::layer::pull;
use crate::sys::files;
use crate::sys::owner::Owner;
use crate::sys::path_error::PathError;
use crate::unpacker::{self, WhiteoutFormat};

/// The volumes of one image.
pub(in crate::store) struct ImageVolumes {
    /// Where they are mounted: absolute and clean paths, sorted, each once.
    destinations: Vec<String>,
}

/// What an image looks like before it is mounted: its layers, topmost first, and how they write down deletions.
struct Tree {
    layers: Vec<OwnedFd>,
    whiteouts: WhiteoutFormat,
}

impl ImageVolumes {
    /// Reads what an image declares.
    ///
    /// # Errors
    /// On a volume that no container can have: destinations of mounts are absolute (OCI runtime specification), and a
    /// volume on `/` would hide the whole image.
    pub(in crate::store) fn of(declared: &[String]) -> Result<Self, VolumeError> {
        let mut destinations = declared.iter().map(|path| destination(path)).collect::<Result<Vec<_>, _>>()?;
        destinations.sort();
        destinations.dedup();
        Ok(ImageVolumes { destinations })
    }

    pub(in crate::store) fn len(&self) -> usize {
        self.destinations.len()
    }

    /// What the directories take which the volumes are copies of.
    pub(in crate::store) fn size(
        &self,
        store: &Store,
        image: &[Layer],
        whiteouts: WhiteoutFormat,
    ) -> Result<VolumeSize, VolumeError> {
        let mut sum = VolumeSize::default();
        if self.destinations.is_empty() {
            return Ok(sum);
        }
        let tree = Tree::of_layers(store, image, whiteouts)?;
        for destination in &self.destinations {
            let (bytes, inodes) = tree.size(destination)?;
            sum.bytes = sum.bytes.saturating_add(bytes);
            sum.inodes = sum.inodes.saturating_add(inodes);
        }
        Ok(sum)
    }

    /// Makes the volumes of the image in `directory`, which is to be renamed to `published`, out of its layers in `store`.
    pub(in crate::store) fn make(
        &self,
        store: &Store,
        image: &[Layer],
        whiteouts: WhiteoutFormat,
        place: &Place<'_>,
    ) -> Result<Vec<Mount>, VolumeError> {
        if self.destinations.is_empty() {
            return Ok(Vec::new());
        }
        let tree = if place.is_shared {
            // Its mount alone shows the right ids.
            Tree {
                layers: vec![files::open_directory(&place.directory.join("rootfs"))?],
                whiteouts: WhiteoutFormat::Removal,
            }
        } else {
            Tree::of_layers(store, image, whiteouts)?
        };
        self.destinations.iter().map(|destination| place.make(&tree, destination)).collect()
    }
}

/// Where volumes are made.
pub(in crate::store) struct Place<'a> {
    /// The store of the image.
    pub(in crate::store) store: &'a Store,
    /// The image while it is made, and where it will be.
    pub(in crate::store) directory: &'a Path,
    pub(in crate::store) published: &'a Path,
    /// Whose a volume is that the image has no directory for.
    pub(in crate::store) owner: Owner,
    /// Whether the layers are those of another store, without this one's ids.
    pub(in crate::store) is_shared: bool,
}

impl Place<'_> {
    fn make(&self, tree: &Tree, destination: &str) -> Result<Mount, VolumeError> {
        let name = directory_name(destination);
        let path = self.directory.join(&name);
        let made = self.store.driver.create_image_volume(&self.store.layout, self.directory, &path);
        made.map_err(VolumeError::Make)?;
        self.owner.chown(&path)?;
        files::chmod_directory(&path, 0o755)?;
        tree.copy(destination, &path)?;
        Ok(bind(self.published, destination))
    }
}

/// The mounts that the caller of an image in `published` was left, whose volumes are in `directory`.
pub(in crate::store) fn mounts_of(
    directory: &Path,
    published: &Path,
    declared: &[String],
) -> Result<Vec<Mount>, PathError> {
    let mut mounts = Vec::new();
    let destinations = declared.iter().filter_map(|path| destination(path).ok());
    for destination in destinations.collect::<BTreeSet<String>>() {
        if files::is_directory(&directory.join(directory_name(&destination)))? {
            mounts.push(bind(published, &destination));
        }
    }
    Ok(mounts)
}

/// The directory of an image that is mounted on `destination`.
fn directory_name(destination: &str) -> String {
    let digest: String = Sha256::digest(destination).iter().map(|b| format!("{b:02x}")).collect();
    format!("vol-{digest}")
}

fn bind(image: &Path, destination: &str) -> Mount {
    Mount {
        destination: destination.to_owned(),
        kind: "bind".into(),
        source: image.join(directory_name(destination)).display().to_string(),
        options: vec!["bind".into()],
    }
}

impl Tree {
    fn of_layers(store: &Store, image: &[Layer], whiteouts: WhiteoutFormat) -> Result<Self, PathError> {
        Ok(Tree { layers: pull::open_tree(store, image)?, whiteouts })
    }

    fn size(&self, destination: &str) -> Result<(u64, u64), VolumeError> {
        let layers: Vec<_> = self.layers.iter().map(AsFd::as_fd).collect();
        let size = unpacker::directory_size(&layers, Path::new(destination), self.whiteouts);
        Ok(size.map_err(|source| failed(destination, source))?.unwrap_or_default())
    }

    fn copy(&self, destination: &str, path: &Path) -> Result<(), VolumeError> {
        let layers: Vec<_> = self.layers.iter().map(AsFd::as_fd).collect();
        let target = files::open_directory(path)?;
        let copied = unpacker::copy_directory(&layers, Path::new(destination), target.as_fd(), self.whiteouts);
        copied.map_err(|source| failed(destination, source))
    }
}

fn failed(destination: &str, source: unpacker::Error) -> VolumeError {
    VolumeError::Copy { destination: destination.to_owned(), source: Box::new(source) }
}

/// A declared path, cleaned: a container's working directory is no matter of its image's, so a relative one begins at the
/// root, above which `..` leads nowhere.
fn destination(declared: &str) -> Result<String, VolumeError> {
    let mut path = PathBuf::from("/");
    for component in Path::new(declared).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::ParentDir => {
                path.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    match path.into_os_string().into_string() {
        Ok(path) if path != "/" && !path.contains('\0') => Ok(path),
        _ => Err(VolumeError::Unusable { declared: declared.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_absolute_and_clean_and_not_the_root() {
        for (declared, expected) in [
            ("/data", Some("/data")),
            ("/data/", Some("/data")),
            ("data", Some("/data")),
            ("../../x", Some("/x")),
            ("/a/./b//../c", Some("/a/c")),
            ("/a\nb", Some("/a\nb")),
            ("", None),
            ("/", None),
            ("..", None),
            ("a/..", None),
            ("/a\0b", None),
        ] {
            assert_eq!(destination(declared).ok().as_deref(), expected, "{declared:?}");
        }
    }

    #[test]
    fn each_destination_is_there_once() {
        let volumes = ImageVolumes::of(&["/b".into(), "b/".into(), "a".into()]).unwrap();
        assert_eq!(volumes.destinations, ["/a", "/b"]);
    }
}
