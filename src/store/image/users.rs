//! The files of an image that tell its users, read out of its layers: links in it lead nowhere but into the image.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::OFlags;

use crate::image::{Layer, UserFiles};
use crate::store::Store;
use crate::store::image::error::UserError;
use crate::store::layer::pull;
use crate::sys::dirfd;
use crate::unpacker::{MergedView, WhiteoutFormat};

/// Bytes of the largest file that is read.
const LARGEST: u64 = 16 << 20;

/// Reads them out of the layers of an image in `store`.
pub(in crate::store) fn read(
    store: &Store,
    image: &[Layer],
    whiteouts: WhiteoutFormat,
) -> Result<UserFiles, UserError> {
    let layers = pull::open_tree(store, image)?;
    let layers: Vec<_> = layers.iter().map(AsFd::as_fd).collect();
    let mut view = MergedView::new(&layers, whiteouts);
    let mut file = |path: &'static str| {
        read_file(&mut view, Path::new(path)).map_err(|source| UserError::Read { file: path.into(), source })
    };
    Ok(UserFiles { passwd: file("etc/passwd")?, group: file("etc/group")? })
}

/// Nothing where there is no regular file, nor a link that leads to one.
fn read_file(view: &mut MergedView<'_>, path: &Path) -> io::Result<Vec<u8>> {
    let found = match view.resolve(path) {
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => None,
        found => found?,
    };
    let Some(found) = found.filter(|found| dirfd::file_type(&found.stat).is_file()) else { return Ok(Vec::new()) };
    let file = File::from(view.open(&found, OFlags::RDONLY | OFlags::NONBLOCK)?);
    let mut content = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut content)?;
    if content.len() as u64 > LARGEST {
        return Err(io::Error::other("it is larger than 16 MiB"));
    }
    Ok(content)
}
