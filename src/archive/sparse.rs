//! Sparse files: where in the file the bytes of an entry belong.
//!
//! Four encodings: the old GNU header with continuation blocks, and the PAX formats 0.0 (repeated records), 0.1 (one
//! record) and 1.0 (a map before the data); see "Storing Sparse Files" in the GNU tar manual. Holes are never read or
//! written as zeros: an entry of a few bytes may state a file of exabytes.

use tar::GnuSparseHeader;

use super::header::numeric;
use super::pax;
use super::reader::ArchiveError;

/// Most segments of one file. Their map is kept in memory: 16 bytes each.
const MAX_SEGMENTS: usize = 1 << 20;

/// A run of bytes that the archive holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Where in the file it begins.
    pub(crate) offset: u64,
    /// Bytes.
    pub(crate) length: u64,
}

/// Where the bytes of a sparse entry belong; all else is holes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SparseMap {
    /// In ascending order, not overlapping, none empty.
    pub(crate) segments: Vec<Segment>,
    /// Size of the file with its holes.
    pub(crate) size: u64,
}

impl SparseMap {
    /// Checks that `segments` are in order, within `size` and account for the `stored` bytes in the archive.
    fn new(segments: Vec<Segment>, size: u64, stored: u64) -> Result<Self, ArchiveError> {
        let (mut end, mut sum) = (0u64, 0u64);
        for segment in &segments {
            if segment.offset < end {
                return Err(ArchiveError::SparseMap);
            }
            end = segment.offset.checked_add(segment.length).ok_or(ArchiveError::SparseMap)?;
            sum += segment.length;
        }
        if end > size || sum != stored || i64::try_from(size).is_err() {
            return Err(ArchiveError::SparseMap);
        }
        Ok(Self { segments: segments.into_iter().filter(|segment| segment.length > 0).collect(), size })
    }
}

/// Collects segments, bounded.
#[derive(Debug, Default)]
pub(crate) struct SegmentList(Vec<Segment>);

impl SegmentList {
    pub(crate) fn push(&mut self, offset: u64, length: u64) -> Result<(), ArchiveError> {
        if self.0.len() == MAX_SEGMENTS {
            return Err(ArchiveError::SparseMapTooLong);
        }
        self.0.push(Segment { offset, length });
        Ok(())
    }

    /// Adds descriptors of an old GNU header or continuation block. The first blank one ends the block.
    pub(crate) fn push_gnu(&mut self, descriptors: &[GnuSparseHeader]) -> Result<(), ArchiveError> {
        for descriptor in descriptors.iter().take_while(|descriptor| descriptor.offset[0] != 0) {
            let field = |bytes: &[u8]| -> Result<u64, ArchiveError> {
                numeric(bytes).and_then(|value| value.try_into().ok()).ok_or(ArchiveError::SparseMap)
            };
            self.push(field(&descriptor.offset)?, field(&descriptor.numbytes)?)?;
        }
        Ok(())
    }

    pub(crate) fn into_map(self, size: u64, stored: u64) -> Result<SparseMap, ArchiveError> {
        SparseMap::new(self.0, size, stored)
    }
}

/// `GNU.sparse.*` records of an extended header.
#[derive(Debug, Default)]
pub(crate) struct SparseRecords {
    major: Option<u64>,
    minor: Option<u64>,
    /// `size` in the formats 0, `realsize` in 1.0.
    size: Option<u64>,
    /// True name of the file; the header then has a name for readers that know nothing of sparse files.
    name: Option<Vec<u8>>,
    segments: SegmentList,
    has_map: bool,
    open_offset: Option<u64>,
}

/// How a sparse entry says where its bytes belong.
pub(crate) enum Encoding {
    /// In the extended header; done.
    Records(SegmentList),
    /// In the body, before the data.
    Body,
}

impl SparseRecords {
    /// Takes one record; `key` is without the `GNU.sparse.` prefix. An empty value takes the key back.
    pub(crate) fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), ArchiveError> {
        let given = (!value.is_empty()).then_some(value);
        match key {
            b"major" => self.major = given.map(pax::number).transpose()?,
            b"minor" => self.minor = given.map(pax::number).transpose()?,
            b"name" => self.name = given.map(<[u8]>::to_vec),
            b"size" | b"realsize" => self.size = given.map(pax::number).transpose()?,
            b"offset" => self.open_offset = Some(pax::number(value)?),
            b"numbytes" => {
                let offset = self.open_offset.take().ok_or(ArchiveError::SparseMap)?;
                self.segments.push(offset, pax::number(value)?)?;
                self.has_map = true;
            }
            b"map" => self.set_map(value)?,
            _ => {}
        }
        Ok(())
    }

    /// `offset,length,offset,length...`
    fn set_map(&mut self, value: &[u8]) -> Result<(), ArchiveError> {
        self.segments = SegmentList::default();
        self.has_map = !value.is_empty();
        if !self.has_map {
            return Ok(());
        }
        let mut numbers = value.split(|byte| *byte == b',');
        while let Some(offset) = numbers.next() {
            let length = numbers.next().ok_or(ArchiveError::SparseMap)?;
            self.segments.push(pax::number(offset)?, pax::number(length)?)?;
        }
        Ok(())
    }

    /// The true name of the file, if the entry is sparse.
    pub(crate) fn take_name(&mut self) -> Option<Vec<u8>> {
        self.name.take().filter(|_| self.has_map || self.major.is_some() || self.minor.is_some())
    }

    /// The size of the file and how its map is encoded; `None` if the entry is not sparse. Where no record says so, the
    /// size is that of the `stored` bytes.
    pub(crate) fn encoding(&mut self, stored: u64) -> Result<Option<(u64, Encoding)>, ArchiveError> {
        let encoding = match (self.major, self.minor) {
            (Some(1), Some(0)) => Encoding::Body,
            (Some(0), Some(0 | 1)) => Encoding::Records(std::mem::take(&mut self.segments)),
            // The first two formats came without a version.
            (None, None) if self.has_map => Encoding::Records(std::mem::take(&mut self.segments)),
            (None, None) => return Ok(None),
            _ => return Err(ArchiveError::SparseMap),
        };
        Ok(Some((self.size.unwrap_or(stored), encoding)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(segments: &[(u64, u64)], size: u64, stored: u64) -> Result<SparseMap, ArchiveError> {
        let mut list = SegmentList::default();
        for (offset, length) in segments {
            list.push(*offset, *length)?;
        }
        list.into_map(size, stored)
    }

    #[test]
    fn maps_that_lie_are_refused() {
        assert_eq!(
            map(&[(0, 5), (10, 5), (20, 0)], 20, 10).unwrap().segments,
            [Segment { offset: 0, length: 5 }, Segment { offset: 10, length: 5 }]
        );
        assert!(map(&[], 1 << 40, 0).is_ok(), "only a hole");
        for (segments, size, stored) in [
            (&[(0, 5)][..], 4, 5),
            (&[(0, 5)], 5, 6),
            (&[(5, 5), (0, 5)], 20, 10),
            (&[(0, 5), (4, 5)], 20, 10),
            (&[(u64::MAX, 2)], 20, 2),
            (&[], u64::MAX, 0),
        ] {
            assert!(map(segments, size, stored).is_err(), "{segments:?}");
        }
    }

    #[test]
    fn only_a_version_or_a_map_makes_an_entry_sparse() {
        let plain: [&[(&str, &str)]; 5] = [
            &[("name", "true")],
            &[("size", "20")],
            &[("realsize", "20"), ("name", "true")],
            &[("map", "")],
            &[("major", ""), ("minor", ""), ("size", ""), ("name", ""), ("map", "")],
        ];
        let set = |all: &[(&str, &str)]| {
            let mut records = SparseRecords::default();
            all.iter().for_each(|(key, value)| records.set(key.as_bytes(), value.as_bytes()).unwrap());
            records
        };
        for all in plain {
            let mut records = set(all);
            assert_eq!(records.take_name(), None, "{all:?}");
            assert!(records.encoding(10).unwrap().is_none(), "{all:?}");
        }
        let mut records = set(&[("major", "1"), ("minor", "0"), ("name", "true"), ("name", "")]);
        assert_eq!(records.take_name(), None);
        assert!(matches!(records.encoding(10), Ok(Some((10, Encoding::Body)))));
        assert_eq!(set(&[("map", "0,5"), ("name", "true")]).take_name().unwrap(), b"true");
        for (major, minor) in [("2", "0"), ("1", "1"), ("0", "2"), ("1", "")] {
            assert!(set(&[("major", major), ("minor", minor)]).encoding(10).is_err(), "{major}.{minor}");
        }
    }

    #[test]
    fn the_records_of_the_formats_0() {
        let mut old = SparseRecords::default();
        for (key, value) in [("size", "20"), ("numblocks", "2"), ("offset", "0"), ("numbytes", "5"), ("offset", "10")] {
            old.set(key.as_bytes(), value.as_bytes()).unwrap();
        }
        old.set(b"numbytes", b"5").unwrap();
        let mut new = SparseRecords::default();
        new.set(b"size", b"20").unwrap();
        new.set(b"map", b"0,5,10,5").unwrap();
        for mut records in [old, new] {
            let Some((20, Encoding::Records(list))) = records.encoding(10).unwrap() else { panic!("no map") };
            assert_eq!(list.into_map(20, 10).unwrap().segments.len(), 2);
        }
        assert!(SparseRecords::default().encoding(10).unwrap().is_none());
        assert!(SparseRecords::default().set(b"numbytes", b"5").is_err());
        for map in ["1,2,3", "0,1,,4,2", "0,1,", ",", "0,,2"] {
            assert!(SparseRecords::default().set(b"map", map.as_bytes()).is_err(), "{map}");
        }
    }
}
