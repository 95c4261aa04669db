//! The pipe between the thread that reads and the thread that writes: few large buffers that go round.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use super::digest::Hasher;

/// Size of a buffer in bytes.
const BUFFER: usize = 128 << 10;

/// Buffers that may wait in any pipe. With those in work at both ends a layer holds 1 MiB.
const WAITING: usize = 6;

enum Message {
    Data { buffer: Box<[u8]>, length: usize },
    End,
}

/// The end that is written to.
pub(super) struct Feed {
    full: SyncSender<Message>,
    empty: Receiver<Box<[u8]>>,
}

/// The end that is read from; it hashes what arrives. A feed that goes away without [`Feed::end`] is an error here, not
/// an end of file.
pub(super) struct Stream {
    full: Receiver<Message>,
    empty: Sender<Box<[u8]>>,
    current: Box<[u8]>,
    position: usize,
    length: usize,
    ended: bool,
    hasher: Hasher,
}

/// The other end of the pipe is gone.
pub(super) struct Disconnected;

/// A pipe whose content goes through `hasher`, and in which `read_ahead` bytes may wait, or a few buffers if that is more.
pub(super) fn pipe(hasher: Hasher, read_ahead: usize) -> (Feed, Stream) {
    let (full_in, full_out) = sync_channel(WAITING.max(read_ahead / BUFFER));
    let (empty_in, empty_out) = channel();
    let stream = Stream {
        full: full_out,
        empty: empty_in,
        current: Box::default(),
        position: 0,
        length: 0,
        ended: false,
        hasher,
    };
    (Feed { full: full_in, empty: empty_out }, stream)
}

impl Feed {
    /// A buffer to fill, with any content.
    pub(super) fn buffer(&self) -> Box<[u8]> {
        self.empty.try_recv().unwrap_or_else(|_| vec![0; BUFFER].into_boxed_slice())
    }

    /// Sends the first `length` bytes of `buffer`; waits while the pipe is full.
    pub(super) fn send(&self, buffer: Box<[u8]>, length: usize) -> Result<(), Disconnected> {
        self.full.send(Message::Data { buffer, length }).map_err(|_| Disconnected)
    }

    /// Says that everything was sent.
    pub(super) fn end(self) -> Result<(), Disconnected> {
        self.full.send(Message::End).map_err(|_| Disconnected)
    }
}

impl Stream {
    /// The hash of what was read, which is all if reading came to the end.
    pub(super) fn into_hasher(self) -> Hasher {
        self.hasher
    }
}

impl BufRead for Stream {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.position == self.length && !self.ended {
            let used = std::mem::take(&mut self.current);
            if !used.is_empty() {
                // The feed may be done already and want no more buffers.
                let _ = self.empty.send(used);
            }
            (self.position, self.length) = (0, 0);
            match self.full.recv() {
                Ok(Message::Data { buffer, length }) => {
                    // Here, because the thread that inflates has more to do than the one that writes.
                    self.hasher.update(&buffer[..length]);
                    (self.current, self.length) = (buffer, length);
                }
                Ok(Message::End) => self.ended = true,
                Err(_) => return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the stream was given up")),
            }
        }
        Ok(&self.current[self.position..self.length])
    }

    fn consume(&mut self, count: usize) {
        self.position += count;
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}
