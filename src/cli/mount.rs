//! `grootfs mount` and `grootfs umount`.

use super::args::ImageArgs;
use super::{Failure, output, store};
use crate::config::Config;
use crate::store::{ImageSelector, Remounted};

/// Mounts the root filesystem of an image again.
pub(super) fn mount(config: &Config, args: &ImageArgs) -> Result<(), Failure> {
    let (id, mounted) = store(config)?.mount(ImageSelector(args.id()?))?;
    output::line(&match mounted {
        Remounted::Done => format!("Image {id} mounted"),
        Remounted::Already => format!("Image {id} is mounted already"),
        Remounted::Unneeded => format!("Image {id} needs no mount: its root filesystem is a directory of the store"),
    })
}

/// Unmounts the root filesystem of an image; what the image wrote stays.
pub(super) fn unmount(config: &Config, args: &ImageArgs) -> Result<(), Failure> {
    let (id, unmounted) = store(config)?.unmount(ImageSelector(args.id()?))?;
    output::line(&match unmounted {
        Remounted::Done => format!("Image {id} unmounted"),
        Remounted::Already => format!("Image {id} is not mounted"),
        Remounted::Unneeded => format!("Image {id} has no mount: its root filesystem is a directory of the store"),
    })
}
