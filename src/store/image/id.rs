//! Image ids, and the arguments that name an image by id or by path.

use std::fmt;

use crate::store::{IdError, ImageError, SelectError, Store};
use crate::sys::files;

/// The longest id: `image:<id>.json` must be a file name.
const LONGEST: usize = 255 - "image:.json".len();

/// A checked image id: one plain path component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageId(String);

impl ImageId {
    /// Checks an id.
    pub fn new(id: &str) -> Result<Self, IdError> {
        if id.contains('/') {
            return Err(IdError::InvalidCharacters { id: id.to_owned(), characters: "/".to_owned() });
        }
        if let Some(control) = id.chars().find(|c| c.is_control()) {
            let characters = control.escape_debug().to_string();
            return Err(IdError::InvalidCharacters { id: id.escape_debug().to_string(), characters });
        }
        let unusable = |reason| Err(IdError::Unusable { id: id.to_owned(), reason });
        match id {
            "" => unusable("it is empty"),
            "." | ".." => unusable("it means a directory of its own"),
            _ if id.len() > LONGEST => unusable("it is longer than 244 bytes"),
            _ => Ok(ImageId(id.to_owned())),
        }
    }

    /// Checks that a caller who mounts the image can be told where it is.
    pub(in crate::store) fn check_fits_mount_options(&self) -> Result<(), IdError> {
        match self.0.find([',', '\\']) {
            Some(at) => Err(IdError::InvalidCharacters { id: self.0.clone(), characters: self.0[at..=at].to_owned() }),
            None => Ok(()),
        }
    }

    /// The name under which the image is locked.
    pub(in crate::store) fn lock_name(&self) -> String {
        format!("image:{}", self.0)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What `delete` and `stats` are given: an id, or the path of an image.
#[derive(Clone, Copy, Debug)]
pub struct ImageSelector<'a>(pub &'a str);

impl ImageSelector<'_> {
    /// The id meant by the argument, whether or not there is such an image.
    pub fn id(self, store: &Store) -> Result<ImageId, SelectError> {
        if !self.0.starts_with('/') {
            return ImageId::new(self.0).map_err(|_| SelectError::NotFound { id: self.0.to_owned() });
        }
        let images = store.layout.images_path();
        let below = std::path::Path::new(self.0).strip_prefix(&images).ok();
        // Nothing below an image and nothing beside it: a path that is nearly right must not cost an image.
        let id = below.filter(|path| path.components().count() == 1).and_then(|path| path.to_str());
        let outside = || SelectError::OutsideStore { path: self.0.into() };
        let id = id.ok_or_else(outside)?.trim_end_matches('/');
        ImageId::new(id).map_err(|_| outside())
    }

    /// The id of an existing image.
    pub fn existing(self, store: &Store) -> Result<ImageId, ImageError> {
        let id = self.id(store)?;
        match files::exists(&store.layout.image(id.as_str()))? {
            true => Ok(id),
            false => Err(SelectError::NotFound { id: id.0 }.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::overlay_xfs::OverlayXfs;
    use crate::sys::caller::Caller;

    #[test]
    fn an_id_is_one_plain_name() {
        assert_eq!(
            ImageId::new("this/is/not/okay").unwrap_err().to_string(),
            "id `this/is/not/okay` contains invalid characters: `/`"
        );
        for bad in ["", ".", "..", "a\nb", "a\0b", &"x".repeat(245)] {
            assert!(ImageId::new(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "-a", "a b", "ü", ".hidden", &"x".repeat(244)] {
            assert!(ImageId::new(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn an_argument_is_an_id_or_a_path_below_the_store() {
        let store =
            Store::new(std::path::Path::new("/some/store/"), Box::new(OverlayXfs::default()), Caller::Root).unwrap();
        let id = |text| ImageSelector(text).id(&store).map(|id| id.to_string());
        assert_eq!(id("x").unwrap(), "x");
        assert_eq!(id("/some/store/images/x").unwrap(), "x");
        assert_eq!(id("/some/store/images/x/").unwrap(), "x");
        for outside in [
            "/some/store/images/x/rootfs",
            "/some/store/images/x/../y",
            "/some/store/images",
            "/some/store/volumes/x",
            "/other",
            "/some/store/images/../volumes/x",
        ] {
            let expected = format!("path `{outside}` is outside store path");
            assert_eq!(id(outside).unwrap_err().to_string(), expected);
        }
    }
}
