//! Which compression a stream has, if any: what the bytes themselves say. Media types lie, and local tars have none.

use std::io::{self, BufRead, Read};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// Bytes 2 to 4 of a zstd frame that decoders skip; the first is 0x50 to 0x5f (RFC 8878, 3.1.2).
const ZSTD_SKIPPABLE: &[u8] = &[0x2a, 0x4d, 0x18];
const XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
const BZIP2: &[u8] = b"BZh";
/// The longest of them.
const MAGIC: u64 = 6;
/// Memory that an xz stream may ask for, in KiB: what `xz -9` asks for, and some (xz(1), "Preset", DecMem).
const XZ_MEMORY: u32 = 68 << 10;
/// The window that a zstd frame may ask for, as a power of two: 32 MiB. Encoders of container tools ask for 4 to 32 MiB
/// (github.com/klauspost/compress, its fastest level to its best), zstd(1) for up to 8 MiB without `--ultra` and `--long`.
const ZSTD_WINDOW_LOG: u32 = 25;
const ZSTD_WINDOW_TOO_LARGE: &str =
    "a zstd frame asks for a window of more than 32 MiB: compress it without --long, and without levels above 20";
/// What the library says of it (`ZSTD_error_frameParameter_windowTooLarge`).
const FRAME_TOO_LARGE: &str = "Frame requires too much memory for decoding";

/// The first bytes of the stream, then the rest of it.
type Source<R> = io::Chain<io::Cursor<Vec<u8>>, R>;

/// The uncompressed bytes of a stream: all members or frames of it.
pub(crate) enum Decoder<R: BufRead> {
    Plain(Source<R>),
    Gzip(Box<MultiGzDecoder<Source<R>>>),
    Zstd(Box<zstd::Decoder<'static, Source<R>>>),
    Xz(Box<XzReader<Source<R>>>),
    Bzip2(Box<MultiBzDecoder<Source<R>>>),
}

impl<R: BufRead> Decoder<R> {
    /// Looks at the first bytes of `stream`.
    pub(crate) fn new(mut stream: R) -> io::Result<Self> {
        let mut magic = Vec::with_capacity(MAGIC as usize);
        stream.by_ref().take(MAGIC).read_to_end(&mut magic)?;
        let is_zstd = |magic: &[u8]| {
            magic.starts_with(ZSTD) || magic.len() >= 4 && magic[0] & 0xf0 == 0x50 && magic[1..4] == *ZSTD_SKIPPABLE
        };
        let is_bzip2 = |magic: &[u8]| magic.starts_with(BZIP2) && magic.get(3).is_some_and(u8::is_ascii_digit);
        let source = |magic| io::Cursor::new(magic).chain(stream);
        Ok(match &*magic {
            bytes if bytes.starts_with(GZIP) => Self::Gzip(Box::new(MultiGzDecoder::new(source(magic)))),
            bytes if is_zstd(bytes) => Self::Zstd(Box::new(zstd_decoder(source(magic))?)),
            bytes if bytes.starts_with(XZ) => {
                Self::Xz(Box::new(XzReader::new_mem_limit(source(magic), true, XZ_MEMORY)))
            }
            bytes if is_bzip2(bytes) => Self::Bzip2(Box::new(MultiBzDecoder::new(source(magic)))),
            _ => Self::Plain(source(magic)),
        })
    }

    /// Whether the bytes are handed on as they are.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
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

fn zstd_decoder<R: BufRead>(source: R) -> io::Result<zstd::Decoder<'static, R>> {
    let mut decoder = zstd::Decoder::with_buffer(source)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG)?;
    Ok(decoder)
}

impl<R: BufRead> Read for Decoder<R> {
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
            _ if error.to_string() == FRAME_TOO_LARGE => io::Error::other(ZSTD_WINDOW_TOO_LARGE),
            _ => error,
        })
    }
}
