//! Frames of zstd, one after the other.
//!
//! A frame's header says how much of what was decoded its decoder has to keep, the window (RFC 8878, 3.1.1.1), and each may
//! ask for more than the one before. So each is looked at first, and the memory asked for.

use std::io::{self, BufRead, ErrorKind, Read};

use zstd::stream::raw::{DParameter, Decoder, Operation, Status};

use super::decompress::DecoderMemory;

/// The window that a frame may ask for, as a power of two: 32 MiB. Encoders of container tools ask for 4 to 32 MiB
/// (github.com/klauspost/compress, its fastest level to its best), zstd(1) for up to 8 MiB without `--ultra` and `--long`.
const WINDOW_LOG: u32 = 25;
const WINDOW_TOO_LARGE: &str =
    "a zstd frame asks for a window of more than 32 MiB: compress it without --long, and without levels above 20";
/// What the library says of it (`ZSTD_error_frameParameter_windowTooLarge`).
const FRAME_TOO_LARGE: &str = "Frame requires too much memory for decoding";
/// The longest header, magic number included.
const HEADER: u64 = 18;

/// The content of all frames in `source`.
pub(crate) struct ZstdFrames<'m, R> {
    source: R,
    decoder: Decoder<'static>,
    memory: &'m dyn DecoderMemory,
    is_in_frame: bool,
    /// Bytes at the begin of a frame that were looked at, and are still to be decoded.
    seen: Vec<u8>,
}

impl<'m, R: BufRead> ZstdFrames<'m, R> {
    pub(super) fn new(source: R, memory: &'m dyn DecoderMemory) -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
        Ok(Self { source, decoder, memory, is_in_frame: false, seen: Vec::new() })
    }

    /// Gets what the next frame needs; returns whether there is one.
    fn begin_frame(&mut self) -> io::Result<bool> {
        let missing = HEADER - self.seen.len() as u64;
        self.source.by_ref().take(missing).read_to_end(&mut self.seen)?;
        if self.seen.is_empty() {
            return Ok(false);
        }
        // What is no header, or asks for too much, the decoder refuses.
        if let Some(window) = window(&self.seen).filter(|window| *window <= 1 << WINDOW_LOG) {
            self.memory.grow_to(window)?;
        }
        self.decoder.reinit()?;
        self.is_in_frame = true;
        Ok(true)
    }

    fn decode(&mut self, buffer: &mut [u8]) -> io::Result<Status> {
        if !self.seen.is_empty() {
            let status = self.decoder.run_on_buffers(&self.seen, buffer)?;
            self.seen.drain(..status.bytes_read);
            return Ok(status);
        }
        let input = self.source.fill_buf()?;
        let is_end = input.is_empty();
        let status = self.decoder.run_on_buffers(input, buffer)?;
        self.source.consume(status.bytes_read);
        if is_end && status.bytes_written == 0 && status.remaining > 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(status)
    }
}

impl<R: BufRead> Read for ZstdFrames<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while self.is_in_frame || self.begin_frame()? {
            let status = self.decode(buffer).map_err(|error| match error.to_string() == FRAME_TOO_LARGE {
                true => io::Error::other(WINDOW_TOO_LARGE),
                false => error,
            })?;
            self.is_in_frame = status.remaining > 0;
            if status.bytes_written > 0 {
                return Ok(status.bytes_written);
            }
        }
        Ok(0)
    }
}

/// The bytes that the decoder of a frame has to keep; `None` if this is no header of a frame with content.
fn window(header: &[u8]) -> Option<u64> {
    let (magic, header) = header.split_at_checked(4)?;
    if magic != super::decompress::ZSTD {
        return None;
    }
    let (&descriptor, header) = header.split_first()?;
    let is_single_segment = descriptor & 0x20 != 0;
    if !is_single_segment {
        let window = u64::from(*header.first()?);
        let base = 1 << (10 + (window >> 3));
        return Some(base + base / 8 * (window & 7));
    }
    // All of the content is kept. Its size comes after the id of a dictionary.
    let size = header.get([0, 1, 2, 4][usize::from(descriptor & 3)]..)?;
    let number = |length: usize| {
        let mut bytes = [0; 8];
        bytes[..length].copy_from_slice(size.get(..length)?);
        Some(u64::from_le_bytes(bytes))
    };
    match descriptor >> 6 {
        0 => number(1),
        1 => Some(number(2)? + 256),
        2 => number(4),
        _ => number(8),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Asked(Mutex<Vec<u64>>);

    impl DecoderMemory for Asked {
        fn grow_to(&self, bytes: u64) -> io::Result<()> {
            self.0.lock().unwrap().push(bytes);
            Ok(())
        }
    }

    fn frame(content: &[u8], window_log: u32, knows_size: bool) -> Vec<u8> {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(window_log).unwrap();
        if knows_size {
            encoder.set_pledged_src_size(Some(content.len() as u64)).unwrap();
        }
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn each_frame_asks_for_its_window() {
        let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0][..], b"ab"].concat();
        let (small, large) = (vec![b'x'; 10], vec![b'y'; 70_000]);
        let frames = [
            frame(&small, 20, false),
            skipped,
            frame(&small, 20, true),
            frame(&large, 24, true),
            frame(&large, 25, false),
            frame(&large[..300], 20, true),
        ];
        let asked = Asked::default();
        let mut read = Vec::new();
        // Of a source that hands out a few bytes at a time.
        let source = io::BufReader::with_capacity(7, io::Cursor::new(frames.concat()));
        ZstdFrames::new(source, &asked).unwrap().read_to_end(&mut read).unwrap();
        assert_eq!(read, [&small[..], &small, &large, &large, &large[..300]].concat());
        assert_eq!(*asked.0.lock().unwrap(), [1 << 20, 10, 70_000, 1 << 25, 300]);
    }

    #[test]
    fn a_window_has_a_mantissa() {
        let header = |descriptor: u8, rest: &[u8]| [super::super::decompress::ZSTD, &[descriptor], rest].concat();
        assert_eq!(window(&header(0, &[10 << 3 | 3])), Some((1 << 20) + 3 * (1 << 17)));
        assert_eq!(window(&header(0, &[0xff])), Some((1 << 41) + 7 * (1 << 38)));
        assert_eq!(window(&header(0x20 | 3, &[9, 9, 9, 9, 77])), Some(77));
        assert_eq!(window(&header(0x20 | 0x80 | 1, &[9, 0, 0, 0, 1])), Some(1 << 24));
        assert_eq!(window(&header(0x20 | 0xc0, &[0xff; 8])), Some(u64::MAX));
        assert_eq!(window(&header(0x20 | 0xc0, &[0xff; 7])), None);
        assert_eq!(window(&header(0, &[])), None);
    }

    #[test]
    fn a_frame_without_its_end_is_an_error() {
        let whole = frame(&[b'x'; 1000], 20, false);
        for length in 5..whole.len() {
            let frames = ZstdFrames::new(&whole[..length], &Asked::default()).unwrap().read_to_end(&mut Vec::new());
            assert_eq!(frames.unwrap_err().kind(), ErrorKind::UnexpectedEof, "{length} bytes");
        }
    }
}
