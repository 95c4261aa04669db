//! What the standard library does for a program before its `main`, as far as this one needs it.

use std::io;

/// Prepares a process that the C library has started without the standard library.
///
/// # Errors
/// If one of the three standard descriptors is closed and cannot be opened.
pub fn prepare() -> io::Result<()> {
    // A write into a broken pipe is an error like any other.
    // SAFETY: SIGPIPE is a signal that may be ignored, and ignoring it runs no code.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    open_standard_descriptors()
}

/// Opens `/dev/null` in place of each that is closed: what is opened later must not land there, and be written to.
fn open_standard_descriptors() -> io::Result<()> {
    let mut standard = [0, 1, 2].map(|fd| libc::pollfd { fd, events: 0, revents: 0 });
    // SAFETY: the pointer and the length describe `standard`. Nobody waits: the timeout is zero.
    let count = unsafe { libc::poll(standard.as_mut_ptr(), standard.len() as libc::nfds_t, 0) };
    if count < 0 {
        return Err(io::Error::last_os_error());
    }
    for closed in standard.iter().filter(|descriptor| descriptor.revents & libc::POLLNVAL != 0) {
        // SAFETY: the path is a literal that ends in a zero. Nothing owns the descriptor that results, which is to stay.
        let opened = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) };
        // The lowest free number: all below it are open.
        if opened != closed.fd {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
