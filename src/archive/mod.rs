//! Tar archives and what they are packed in, read as a stream.
//!
//! ```text
//! decompress  which compression a stream has, and its uncompressed bytes
//! reader      the archive as a sequence of entries
//! foreign     what else a file may be
//! header      one header block, in every dialect
//! pax         extended headers
//! sparse      maps of sparse files
//! zstd_frames frames of zstd, each with the memory that it asks for
//! ```
//!
//! Nothing here touches a file: what an entry becomes is decided by the unpacker.

mod decompress;
mod foreign;
#[cfg(fuzzing)]
pub mod fuzzing;
mod header;
mod pax;
mod reader;
mod sparse;
#[cfg(test)]
mod tests;
mod zstd_frames;

pub(crate) use decompress::{Decoder, WithinRatio};
pub use decompress::{DecoderMemory, OwnMemory};
pub use foreign::Foreign;
pub(crate) use pax::Xattr;
pub use reader::ArchiveError;
pub(crate) use reader::{Archive, Entry, EntryKind};
pub(crate) use sparse::SparseMap;
