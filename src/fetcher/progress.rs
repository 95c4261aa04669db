//! Who is told how layers come along.

use std::fmt;
use std::io::{self, Read};

use crate::image::Layer;

/// Watches layers arrive. Any thread may tell it something.
pub trait ProgressReporter: fmt::Debug + Send + Sync {
    /// A layer begins to be read.
    fn layer(&self, layer: &Layer) -> Box<dyn Progress>;
    /// A layer is waited for that `holder` is unpacking.
    fn waiting(&self, layer: &Layer, holder: &str) -> Box<dyn Progress>;
}

/// Watches one layer. It is dropped when the layer is read, or nobody wants it any more.
pub trait Progress: Send {
    /// So many more bytes have been read.
    fn advance(&mut self, bytes: u64);
}

/// A stream that is watched.
pub(super) struct ProgressReader<R> {
    stream: R,
    progress: Box<dyn Progress>,
}

impl<R> ProgressReader<R> {
    pub(super) fn new(stream: R, progress: Box<dyn Progress>) -> Self {
        ProgressReader { stream, progress }
    }
}

impl<R: Read> Read for ProgressReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.progress.advance(count as u64);
        Ok(count)
    }
}
