//! Which compression a stream has, if any: what the bytes themselves say. Media types lie, and local tars have none.

use std::io::{self, BufRead, Read};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;

use super::zstd_frames::ZstdFrames;
use crate::limits::Exceeded;

const GZIP: &[u8] = &[0x1f, 0x8b];
pub(super) const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// Bytes 2 to 4 of a zstd frame that decoders skip; the first is 0x50 to 0x5f (RFC 8878, 3.1.2).
const ZSTD_SKIPPABLE: &[u8] = &[0x2a, 0x4d, 0x18];
const XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
const BZIP2: &[u8] = b"BZh";
/// The longest of them.
const MAGIC: u64 = 6;
/// Memory that an xz stream may ask for, in KiB: what `xz -9` asks for, and some (xz(1), "Preset", DecMem).
const XZ_MEMORY: u32 = 68 << 10;
/// The same of a bzip2 stream (bzip2(1), "Memory management").
const BZIP2_MEMORY: u64 = 4 << 20;

/// Where decoders that keep much of what they have decoded get memory for it.
pub trait DecoderMemory: Sync {
    /// Waits until a decoder may have so many bytes in all.
    ///
    /// # Errors
    /// When it is no longer wanted.
    fn grow_to(&self, bytes: u64) -> io::Result<()>;
}

/// Memory of streams that are read one at a time.
#[derive(Debug)]
pub struct OwnMemory;

impl DecoderMemory for OwnMemory {
    fn grow_to(&self, _bytes: u64) -> io::Result<()> {
        Ok(())
    }
}

/// The first bytes of the stream, then the rest of it.
type Source<R> = io::Chain<io::Cursor<Vec<u8>>, R>;

/// The uncompressed bytes of a stream: all members or frames of it.
pub(crate) enum Decoder<'m, R: BufRead> {
    Plain(Source<R>),
    Gzip(Box<MultiGzDecoder<Source<R>>>),
    Zstd(Box<ZstdFrames<'m, Source<R>>>),
    Xz(Box<XzReader<Source<R>>>),
    Bzip2(Box<MultiBzDecoder<Source<R>>>),
}

impl<R: BufRead> Decoder<'static, R> {
    /// Looks at the first bytes of `stream`, beside which no other is read.
    pub(crate) fn new(stream: R) -> io::Result<Self> {
        Self::with_memory(stream, &OwnMemory)
    }
}

impl<'m, R: BufRead> Decoder<'m, R> {
    /// Looks at the first bytes of `stream`.
    pub(crate) fn with_memory(mut stream: R, memory: &'m dyn DecoderMemory) -> io::Result<Self> {
        let mut magic = Vec::with_capacity(MAGIC as usize);
        stream.by_ref().take(MAGIC).read_to_end(&mut magic)?;
        let is_zstd = |magic: &[u8]| {
            magic.starts_with(ZSTD) || magic.len() >= 4 && magic[0] & 0xf0 == 0x50 && magic[1..4] == *ZSTD_SKIPPABLE
        };
        let is_bzip2 = |magic: &[u8]| magic.starts_with(BZIP2) && magic.get(3).is_some_and(u8::is_ascii_digit);
        let source = |magic| io::Cursor::new(magic).chain(stream);
        Ok(match &*magic {
            bytes if bytes.starts_with(GZIP) => Self::Gzip(Box::new(MultiGzDecoder::new(source(magic)))),
            bytes if is_zstd(bytes) => Self::Zstd(Box::new(ZstdFrames::new(source(magic), memory)?)),
            bytes if bytes.starts_with(XZ) => {
                memory.grow_to(u64::from(XZ_MEMORY) << 10)?;
                Self::Xz(Box::new(XzReader::new_mem_limit(source(magic), true, XZ_MEMORY)))
            }
            bytes if is_bzip2(bytes) => {
                memory.grow_to(BZIP2_MEMORY)?;
                Self::Bzip2(Box::new(MultiBzDecoder::new(source(magic))))
            }
            _ => Self::Plain(source(magic)),
        })
    }

    /// Whether the bytes are handed on as they are.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// Whether it keeps much of what was decoded.
    pub(crate) fn keeps_much(&self) -> bool {
        matches!(self, Self::Zstd(_) | Self::Xz(_) | Self::Bzip2(_))
    }

    /// What the media type of such a layer ends with (OCI image specification, `layer.md`); `None` if there is none.
    pub(crate) fn media_suffix(&self) -> Option<&'static str> {
        match self {
            Self::Plain(_) => Some(""),
            Self::Gzip(_) => Some("+gzip"),
            Self::Zstd(_) => Some("+zstd"),
            Self::Xz(_) | Self::Bzip2(_) => None,
        }
    }

    /// Fills `buffer` from front to back, and less of it only at the end of the stream.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

impl<R: BufRead> Read for Decoder<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = match self {
            Self::Plain(source) => source.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
            Self::Xz(decoder) => decoder.read(buffer),
            Self::Bzip2(decoder) => decoder.read(buffer),
        };
        result.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => io::Error::new(error.kind(), "unexpected EOF"),
            _ => error,
        })
    }
}

/// What comes out of a decoder, as long as it is not suspiciously much.
pub(crate) struct WithinRatio<R, F> {
    decoder: R,
    unpacked: u64,
    check: F,
}

impl<R, F: Fn(u64) -> Result<(), Exceeded>> WithinRatio<R, F> {
    /// `check` is asked about the number of all bytes that have come.
    pub(crate) fn new(decoder: R, check: F) -> Self {
        WithinRatio { decoder, unpacked: 0, check }
    }
}

impl<R: Read, F: Fn(u64) -> Result<(), Exceeded>> Read for WithinRatio<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.decoder.read(buffer)?;
        self.unpacked += count as u64;
        (self.check)(self.unpacked)?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;

    #[test]
    fn no_more_is_decoded_than_a_packed_size_explains() {
        let limits = Limits::default();
        let mut content = WithinRatio::new(io::repeat(0), |unpacked| limits.check_ratio(4 << 20, unpacked));
        content.unpacked = (4 << 20) * limits.compression_ratio;
        assert_eq!(content.read(&mut [0; 8]).unwrap(), 8, "below 1 GiB");
        content.unpacked = 1 << 30;
        let message = content.read(&mut [0; 8]).unwrap_err().to_string();
        assert!(message.contains("create.limits.compression_ratio"), "{message}");
    }
}
