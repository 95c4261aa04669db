//! gzip, zstd or neither: what the bytes themselves say. Media types lie, and local tars have none.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// Bytes 2 to 4 of a zstd frame that decoders skip; the first is 0x50 to 0x5f (RFC 8878, 3.1.2).
const ZSTD_SKIPPABLE: &[u8] = &[0x2a, 0x4d, 0x18];

/// The first bytes of the stream, then the rest of it.
type Source<R> = io::Chain<io::Cursor<Vec<u8>>, R>;

/// The uncompressed bytes of a stream: all members of a gzip stream, all frames of a zstd stream.
pub(crate) enum Decoder<R: BufRead> {
    Plain(Source<R>),
    Gzip(Box<MultiGzDecoder<Source<R>>>),
    Zstd(Box<zstd::Decoder<'static, Source<R>>>),
}

impl<R: BufRead> Decoder<R> {
    /// Looks at the first bytes of `stream`.
    pub(crate) fn new(mut stream: R) -> io::Result<Self> {
        let mut magic = Vec::with_capacity(4);
        stream.by_ref().take(4).read_to_end(&mut magic)?;
        let is_gzip = magic.starts_with(GZIP);
        let is_zstd = magic == ZSTD || (magic.len() == 4 && magic[0] & 0xf0 == 0x50 && magic[1..] == *ZSTD_SKIPPABLE);
        let source = io::Cursor::new(magic).chain(stream);
        Ok(if is_gzip {
            Self::Gzip(Box::new(MultiGzDecoder::new(source)))
        } else if is_zstd {
            Self::Zstd(Box::new(zstd::Decoder::with_buffer(source)?))
        } else {
            Self::Plain(source)
        })
    }

    /// Fills `buffer` from front to back, and less of it only at the end of the stream.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            let free = &mut buffer[filled..];
            let result = match self {
                Self::Plain(source) => source.read(free),
                Self::Gzip(decoder) => decoder.read(free),
                Self::Zstd(decoder) => decoder.read(free),
            };
            match result {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(io::Error::new(error.kind(), "unexpected EOF"));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    /// Without run-time detection the inflater's code for newer processors is unreachable, and so not linked at all.
    /// Whether this processor is such a one does not matter here.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_inflater_detects_what_the_processor_can_do() {
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let symbols = program.split(|byte| *byte == 0).filter(|text| text.starts_with(b"_"));
        let name = ["inflate_fast_help", "avx2"].join("_");
        let is_linked = symbols.filter_map(|symbol| str::from_utf8(symbol).ok()).any(|symbol| symbol.contains(&name));
        assert!(is_linked, "no {name}: flate2 needs its feature runtime_detection");
    }
}
