//! Owners of files: what the layer says and what the volume gets.

/// A run of ids: `size` ids from `namespace` on, in the container, are the ids from `host` on outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRange {
    /// First id in the container.
    pub namespace: u32,
    /// First id on the host.
    pub host: u32,
    /// How many.
    pub size: u32,
}

/// An owner that cannot be given to a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// -1 as unsigned number: the kernel reads it as "leave the owner as it is" (chown(2)).
    #[error("id 4294967295 is reserved")]
    Reserved,
    /// The mapping leads past the 32 bits of an id.
    #[error("id {id} is mapped outside of the range of ids")]
    Overflow {
        /// The id in the layer.
        id: u32,
    },
}

/// Translation of owners while files are made. For callers outside of a user namespace only: inside one the kernel
/// translates, and [`IdTranslation::identity`] is right.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdTranslation {
    uids: Vec<IdRange>,
    gids: Vec<IdRange>,
}

impl IdTranslation {
    /// Every owner stays as the layer has it.
    pub fn identity() -> Self {
        Self::default()
    }

    /// Translation by the mappings of a store.
    pub fn new(uids: Vec<IdRange>, gids: Vec<IdRange>) -> Self {
        Self { uids, gids }
    }

    /// The user id that a file of `id` gets.
    ///
    /// # Errors
    /// See [`IdError`].
    pub fn uid(&self, id: u32) -> Result<u32, IdError> {
        translate(&self.uids, id)
    }

    /// The group id that a file of `id` gets.
    ///
    /// # Errors
    /// See [`IdError`].
    pub fn gid(&self, id: u32) -> Result<u32, IdError> {
        translate(&self.gids, id)
    }
}

/// The arithmetic that stores of GrootFS were always written with. It takes the usual pair of mappings for granted, one
/// of size 1 for root and one from container id 1 on: root goes to the first mapping of size 1 and other ids to
/// `host + id - 1`, wherever their range starts. Volumes on disk have these owners, so it stays. Ids in no range are
/// left as they are.
fn translate(ranges: &[IdRange], id: u32) -> Result<u32, IdError> {
    let mapped = if id == 0 {
        ranges.iter().find(|range| range.size == 1).map_or(Some(0), |range| Some(range.host))
    } else {
        let contains = |range: &&IdRange| {
            range.size != 1 && id.checked_sub(range.namespace).is_some_and(|offset| offset < range.size)
        };
        ranges.iter().find(contains).map_or(Some(id), |range| range.host.checked_add(id - 1))
    };
    match mapped {
        Some(u32::MAX) if id == u32::MAX => Err(IdError::Reserved),
        Some(u32::MAX) | None => Err(IdError::Overflow { id }),
        Some(mapped) => Ok(mapped),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(namespace: u32, host: u32, size: u32) -> IdRange {
        IdRange { namespace, host, size }
    }

    #[test]
    fn translates_like_existing_stores() {
        let usual = [range(0, 1000, 1), range(1, 100_000, 65000)];
        let shifted = [range(1001, 2001, 900)];
        let cases: &[(&[IdRange], u32, Result<u32, IdError>)] = &[
            (&[], 0, Ok(0)),
            (&[], 4000, Ok(4000)),
            (&[], u32::MAX, Err(IdError::Reserved)),
            (&usual, 0, Ok(1000)),
            (&usual, 1, Ok(100_000)),
            (&usual, 4000, Ok(103_999)),
            (&usual, 65000, Ok(164_999)),
            (&usual, 65001, Ok(65001)),
            (&shifted, 0, Ok(0)),
            (&shifted, 1200, Ok(3200)),
            (&shifted, 1000, Ok(1000)),
            (&[range(0, 100_000, 65536)], 0, Ok(0)),
            (&[range(1, u32::MAX - 10, 100)], 20, Err(IdError::Overflow { id: 20 })),
            (&[range(1, u32::MAX - 10, 100)], 11, Err(IdError::Overflow { id: 11 })),
            (&[range(0, u32::MAX, 1)], 0, Err(IdError::Overflow { id: 0 })),
        ];
        for (ranges, id, expected) in cases {
            assert_eq!(&translate(ranges, *id), expected, "{ranges:?} {id}");
        }
    }
}
