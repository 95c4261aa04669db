//! Who is told how layers come along.

use std::fmt;
use std::io::{self, Read};

use super::http::Reason;
use crate::image::Layer;

/// Watches layers arrive. Any thread may tell it something. What it returns is dropped when that is over.
pub trait ProgressReporter: fmt::Debug + Send + Sync {
    /// These layers are about to be read.
    fn image(&self, layers: &[&Layer]) -> Box<dyn Progress>;
    /// A layer begins to be read, perhaps not for the first time.
    fn layer(&self, layer: &Layer) -> Box<dyn Progress>;
    /// A layer is waited for that `holder` is unpacking.
    fn waiting(&self, layer: &Layer, holder: &str) -> Box<dyn Progress>;
    /// A server is about to be asked once more.
    fn retrying(&self, retry: &Retry<'_>) -> Box<dyn Progress>;
    /// A layer needs nothing more, whoever has read it.
    fn finished(&self, layer: &Layer);
}

/// What is shown until it is dropped.
pub trait Progress: Send {
    /// So many more bytes of the layer have been read.
    fn advance(&mut self, _bytes: u64) {}
}

/// The next try of what has failed.
#[derive(Clone, Copy, Debug)]
pub struct Retry<'a> {
    /// What is asked for, without what may be secret in it.
    pub url: &'a str,
    /// Why the last try failed.
    pub reason: &'a Reason,
    /// Which try the next one is.
    pub attempt: u32,
    /// How many there are to be at most.
    pub attempts: u32,
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
