//! Id mappings (user_namespaces(7)): runs of user or group ids that mean other ids inside of a container.

use std::fmt;
use std::str::FromStr;

/// As many ranges as the kernel takes for a namespace (`UID_GID_MAP_MAX_EXTENTS`, Linux 4.15).
const MAX_RANGES: usize = 340;
/// Bytes of a map that the kernel reads: less than a page.
const MAP_BYTES: usize = 4095;
/// -1 as unsigned number: the kernel reads it as "leave the owner as it is" (chown(2)).
const RESERVED: u32 = u32::MAX;

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

/// Why a mapping cannot be had. The text is about one kind of ids; callers say which.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// Not three numbers.
    #[error("`{0}`: expected <namespace id>:<host id>:<size>, three numbers")]
    Syntax(String),
    /// A range of nothing.
    #[error("`{0}` maps no id: the size must be 1 or more")]
    Empty(String),
    /// Ids beyond the largest one.
    #[error("`{0}` goes beyond 4294967294, the largest id there is")]
    TooLarge(String),
    /// An id of the container would be two.
    #[error("`{0}` and `{1}` overlap: id {2} of the namespace is mapped twice")]
    NamespaceOverlap(IdRange, IdRange, u32),
    /// An id of the host would be two.
    #[error("`{0}` and `{1}` overlap: id {2} of the host is mapped to twice")]
    HostOverlap(IdRange, IdRange, u32),
    /// More than a kernel takes.
    #[error("{0} ranges are more than the 340 that the kernel accepts")]
    TooMany(usize),
    /// The same, in bytes.
    #[error("the ranges take {0} bytes to write down and the kernel reads 4095: use fewer")]
    TooLong(usize),
}

/// An owner that cannot be given to a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// An id that means something else to the kernel.
    #[error("id 4294967295 is reserved")]
    Reserved,
}

impl IdRange {
    /// The id on the host for `id` of the container, if it is one of these.
    fn to_host(self, id: u32) -> Option<u32> {
        let offset = id.checked_sub(self.namespace).filter(|offset| *offset < self.size)?;
        self.host.checked_add(offset)
    }

    fn check(self) -> Result<Self, MappingError> {
        let is_possible = |first: u32| first.checked_add(self.size).is_some();
        match self.size {
            0 => Err(MappingError::Empty(self.to_string())),
            _ if is_possible(self.namespace) && is_possible(self.host) => Ok(self),
            _ => Err(MappingError::TooLarge(self.to_string())),
        }
    }
}

impl FromStr for IdRange {
    type Err = MappingError;

    fn from_str(text: &str) -> Result<Self, MappingError> {
        let syntax = || MappingError::Syntax(text.to_owned());
        let numbers: Vec<u64> =
            text.split(':').map(|number| number.trim().parse().map_err(|_| syntax())).collect::<Result<_, _>>()?;
        let [namespace, host, size] = numbers[..] else { return Err(syntax()) };
        let narrow = |number: u64| u32::try_from(number).map_err(|_| MappingError::TooLarge(text.to_owned()));
        Ok(IdRange { namespace: narrow(namespace)?, host: narrow(host)?, size: narrow(size)? })
    }
}

impl fmt::Display for IdRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.namespace, self.host, self.size)
    }
}

/// Ranges of one kind of ids. None at all map every id to itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdMap(Vec<IdRange>);

impl IdMap {
    /// Ranges that a kernel would take.
    ///
    /// # Errors
    /// See [`MappingError`].
    pub fn new(ranges: Vec<IdRange>) -> Result<Self, MappingError> {
        if ranges.len() > MAX_RANGES {
            return Err(MappingError::TooMany(ranges.len()));
        }
        for (index, range) in ranges.iter().enumerate() {
            range.check()?;
            for earlier in &ranges[..index] {
                if let Some(id) = common(earlier.namespace, earlier.size, range.namespace, range.size) {
                    return Err(MappingError::NamespaceOverlap(*earlier, *range, id));
                }
                if let Some(id) = common(earlier.host, earlier.size, range.host, range.size) {
                    return Err(MappingError::HostOverlap(*earlier, *range, id));
                }
            }
        }
        match as_kernel_map(&ranges).len() {
            length if length > MAP_BYTES => Err(MappingError::TooLong(length)),
            _ => Ok(IdMap(ranges)),
        }
    }

    /// Ranges as they are on record. Earlier versions recorded ones that overlap; the first that has an id counts.
    ///
    /// # Errors
    /// When they cannot be read, are empty, or lead past the last id: no version has recorded such ranges.
    pub fn recorded(texts: &[String]) -> Result<Self, MappingError> {
        texts.iter().map(|text| text.parse::<IdRange>()?.check()).collect::<Result<_, _>>().map(IdMap)
    }

    /// The ranges.
    pub fn ranges(&self) -> &[IdRange] {
        &self.0
    }

    /// Whether every id is mapped to itself.
    pub fn is_identity(&self) -> bool {
        self.0.is_empty()
    }

    /// What root of the container is on the host; `None` if it is in no range.
    pub fn root(&self) -> Option<u32> {
        self.mapped(0)
    }

    /// The map of a mount that shows what is on disk as [`IdMappings`] translate it, in lines of `<on disk> <shown> <count>`
    /// (user_namespaces(7)). An id in no range shows as itself, unless that is what another one shows as, or the kernel
    /// takes no longer map.
    pub fn as_mount_map(&self) -> String {
        let all = [&self.0[..], &self.gaps()].concat();
        let map = as_kernel_map(&all);
        if all.len() <= MAX_RANGES && map.len() <= MAP_BYTES { map } else { as_kernel_map(&self.0) }
    }

    /// Ids that are in no range, neither in the namespace nor on the host, each as itself.
    fn gaps(&self) -> Vec<IdRange> {
        let both = |range: &IdRange| [range.namespace, range.host].map(|first| (first, range.size));
        let mut taken: Vec<(u32, u32)> = self.0.iter().flat_map(both).chain([(RESERVED, 1)]).collect();
        taken.sort_unstable();
        let mut gaps = Vec::new();
        let mut next = 0;
        for (first, size) in taken {
            if first > next {
                gaps.push(IdRange { namespace: next, host: next, size: first - next });
            }
            next = next.max(first.saturating_add(size));
        }
        gaps
    }

    /// Whether `id` of the container is in a range.
    pub fn has(&self, id: u32) -> bool {
        self.mapped(id).is_some()
    }

    fn mapped(&self, id: u32) -> Option<u32> {
        self.0.iter().find_map(|range| range.to_host(id))
    }

    /// What a file of `id` gets. An id in no range stays as it is, for images have files of more owners than mappings allow
    /// for; also if that is what another id becomes.
    fn translate(&self, id: u32) -> Result<u32, IdError> {
        match self.mapped(id).unwrap_or(id) {
            RESERVED => Err(IdError::Reserved),
            mapped => Ok(mapped),
        }
    }
}

/// Ranges as the kernel reads them.
fn as_kernel_map(ranges: &[IdRange]) -> String {
    ranges.iter().map(|IdRange { namespace, host, size }| format!("{namespace} {host} {size}\n")).collect()
}

/// The first id that two runs share.
fn common(first: u32, size: u32, other_first: u32, other_size: u32) -> Option<u32> {
    let start = first.max(other_first);
    let is_in = |first: u32, size: u32| start - first < size;
    (is_in(first, size) && is_in(other_first, other_size)).then_some(start)
}

/// Mappings of users and of groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdMappings {
    /// Of user ids.
    pub uids: IdMap,
    /// Of group ids.
    pub gids: IdMap,
}

impl IdMappings {
    /// Every id is itself.
    pub const fn identity() -> Self {
        IdMappings { uids: IdMap(Vec::new()), gids: IdMap(Vec::new()) }
    }

    /// Whether every id is itself.
    pub fn is_identity(&self) -> bool {
        self.uids.is_identity() && self.gids.is_identity()
    }

    /// Those that lead back.
    pub fn inverse(&self) -> Self {
        let inverse = |map: &IdMap| {
            let ranges =
                map.0.iter().map(|range| IdRange { namespace: range.host, host: range.namespace, size: range.size });
            IdMap(ranges.collect())
        };
        IdMappings { uids: inverse(&self.uids), gids: inverse(&self.gids) }
    }

    /// The user id that a file of `id` gets.
    ///
    /// # Errors
    /// See [`IdError`].
    pub fn uid(&self, id: u32) -> Result<u32, IdError> {
        self.uids.translate(id)
    }

    /// The group id that a file of `id` gets.
    ///
    /// # Errors
    /// See [`IdError`].
    pub fn gid(&self, id: u32) -> Result<u32, IdError> {
        self.gids.translate(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_shows_ids_in_no_range_as_themselves() {
        let map = |texts: &[&str]| IdMap::new(texts.iter().map(|text| text.parse().unwrap()).collect()).unwrap();
        assert_eq!(map(&[]).as_mount_map(), "0 0 4294967295\n");
        let garden = map(&["0:4294967294:1", "1:1:4294967293"]);
        assert_eq!(garden.as_mount_map(), "0 4294967294 1\n1 1 4294967293\n");
        let user = map(&["0:1000:1", "1:100000:65000"]);
        assert_eq!(
            user.as_mount_map(),
            "0 1000 1\n1 100000 65000\n65001 65001 34999\n165000 165000 4294802295\n",
            "1000 is in a range of the namespace"
        );
        let odd: Vec<IdRange> =
            (0..MAX_RANGES as u32).map(|n| format!("{}:{}:1", n * 2, n * 2).parse().unwrap()).collect();
        assert_eq!(
            IdMap::new(odd).unwrap().as_mount_map().lines().count(),
            MAX_RANGES,
            "no more than the kernel takes"
        );
    }

    fn map(texts: &[&str]) -> Result<IdMap, String> {
        let ranges = texts.iter().map(|text| text.parse()).collect::<Result<_, MappingError>>();
        ranges.and_then(IdMap::new).map_err(|error| error.to_string())
    }

    #[test]
    fn translates_as_the_kernel_does_and_leaves_the_rest() {
        let usual = ["0:1000:1", "1:100000:65000"];
        let garden = ["0:4294967294:1", "1:1:4294967293"];
        let cases: &[(&[&str], u32, Result<u32, IdError>)] = &[
            (&[], 0, Ok(0)),
            (&[], 4000, Ok(4000)),
            (&[], u32::MAX, Err(IdError::Reserved)),
            (&usual, 0, Ok(1000)),
            (&usual, 1, Ok(100_000)),
            (&usual, 4000, Ok(103_999)),
            (&usual, 65000, Ok(164_999)),
            (&usual, 65001, Ok(65001)),
            (&garden, 0, Ok(4_294_967_294)),
            (&garden, 1, Ok(1)),
            (&garden, 4_294_967_293, Ok(4_294_967_293)),
            (&["1001:2001:900"], 1200, Ok(2200)),
            (&["1001:2001:900"], 1000, Ok(1000)),
            (&["0:100000:65536"], 0, Ok(100_000)),
            (&["0:100000:65536"], 65535, Ok(165_535)),
        ];
        for (texts, id, expected) in cases {
            assert_eq!(&map(texts).unwrap().translate(*id), expected, "{texts:?} {id}");
        }
        assert_eq!(map(&usual).unwrap().root(), Some(1000));
        assert_eq!(map(&["1:100000:65000"]).unwrap().root(), None);
    }

    #[test]
    fn what_no_kernel_would_take_is_refused_in_one_line() {
        for (texts, reason) in [
            (&["0:1000:0"][..], "`0:1000:0` maps no id"),
            (&["0:1000"], "`0:1000`: expected <namespace id>:<host id>:<size>"),
            (&["0:1000:1:1"], "`0:1000:1:1`: expected <namespace id>"),
            (&["a:b:c"], "`a:b:c`: expected <namespace id>"),
            (&["-1:0:1"], "`-1:0:1`: expected <namespace id>"),
            (&[""], "``: expected <namespace id>"),
            (&["0:0:4294967296"], "goes beyond 4294967294"),
            (&["0:4294967295:1"], "goes beyond 4294967294"),
            (&["4294967295:0:1"], "goes beyond 4294967294"),
            (&["0:1:4294967295"], "goes beyond 4294967294"),
            (&["0:1000:1", "0:2000:1"], "`0:1000:1` and `0:2000:1` overlap: id 0 of the namespace is mapped twice"),
            (&["1:100000:65000", "100:1000:200"], "id 100 of the namespace is mapped twice"),
            (&["0:100500:1", "1:100000:65000"], "id 100500 of the host is mapped to twice"),
        ] {
            let refused = map(texts).expect_err(reason);
            assert!(refused.contains(reason), "{texts:?}: {refused}");
        }
        let many: Vec<String> = (0..341).map(|n| format!("{n}:{n}:1")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(map(&many).unwrap_err().contains("341 ranges"));
        assert!(map(&many[..340]).is_ok());
    }

    #[test]
    fn all_ids_but_the_reserved_one_can_be_mapped() {
        assert!(map(&["0:0:4294967295"]).is_ok());
        assert!(map(&["0:4294967294:1", "1:1:4294967293"]).is_ok());
    }

    #[test]
    fn empty_and_impossible_ranges_on_record_are_refused() {
        let recorded = |text: &str| IdMap::recorded(&["0:1000:1".to_owned(), text.to_owned()]);
        assert_eq!(recorded("1:5:0"), Err(MappingError::Empty("1:5:0".to_owned())));
        assert_eq!(recorded("1:4294967295:2"), Err(MappingError::TooLarge("1:4294967295:2".to_owned())));
    }

    #[test]
    fn overlapping_ranges_on_record_are_read() {
        let texts = ["0:1000:1", "1:100000:10", "1:200000:10"].map(str::to_owned);
        assert_eq!(IdMap::recorded(&texts).unwrap().translate(5), Ok(100_004));
    }
}
