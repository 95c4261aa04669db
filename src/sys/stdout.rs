//! Standard output, where answers go.
//!
//! Two things that the standard library makes of it would lose an answer without a word: a closed descriptor becomes
//! `/dev/null` before `main`, and what could not be written stays in a buffer, to be written with whatever comes next.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Stat;
use rustix::io::{Errno, retry_on_intr, write};
use rustix::stdio::{stderr, stdout};

/// Whether the program was started without a standard output.
static WAS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Runs before the standard library opens `/dev/null` for what is closed.
// SAFETY: functions in this section are called once each, before `main`, while there is one thread. This one needs
// nothing of the standard library that has to be set up first.
#[unsafe(link_section = ".init_array")]
#[used]
static NOTICE: extern "C" fn() = notice_closed;

extern "C" fn notice_closed() {
    // SAFETY: fcntl with F_GETFD takes a number and touches no memory.
    let flags = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) };
    WAS_CLOSED.store(flags < 0, Ordering::Relaxed);
}

/// Whether something else than answers goes to standard output.
static IS_GIVEN_AWAY: AtomicBool = AtomicBool::new(false);

/// Has answers go to standard error if what is at `path` is this process's standard output: it takes something else.
pub fn give_away_if_at(path: &Path) {
    if WAS_CLOSED.load(Ordering::Relaxed) {
        return;
    }
    let place = |stat: Stat| (stat.st_dev, stat.st_ino);
    // What cannot be looked at is told of when it is opened.
    if let (Ok(target), Ok(own)) = (rustix::fs::stat(path), rustix::fs::fstat(stdout()))
        && place(target) == place(own)
    {
        IS_GIVEN_AWAY.store(true, Ordering::Relaxed);
    }
}

/// Writes all of `bytes`, or tells why not.
///
/// # Errors
/// `EBADF` if there was no standard output to begin with, `EPIPE` if nobody can read it any more.
pub fn write_all(bytes: &[u8]) -> io::Result<()> {
    if WAS_CLOSED.load(Ordering::Relaxed) {
        return Err(Errno::BADF.into());
    }
    let is_given_away = IS_GIVEN_AWAY.load(Ordering::Relaxed);
    write_all_to(if is_given_away { stderr() } else { stdout() }, bytes)
}

/// Waits where whoever shares the descriptor has made it non-blocking.
fn write_all_to(file: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match retry_on_intr(|| write(file, bytes)) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::AGAIN) => {
                retry_on_intr(|| poll(&mut [PollFd::new(&file, PollFlags::OUT)], None))?;
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::thread;

    use rustix::io::ioctl_fionbio;

    use super::*;

    #[test]
    fn a_full_pipe_is_waited_for() {
        let (mut reader, writer) = io::pipe().unwrap();
        ioctl_fionbio(&writer, true).unwrap();
        let text = vec![b'x'; 1 << 20];
        let read = thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).map(|_| all)
        });
        write_all_to(writer.as_fd(), &text).unwrap();
        drop(writer);
        assert_eq!(read.join().unwrap().unwrap(), text);
    }

    #[test]
    fn a_reader_that_has_gone_away_is_an_error() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let error = write_all_to(writer.as_fd(), b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
