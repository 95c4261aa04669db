//! How the program starts: what the standard library does before `main`, as far as this one needs it.

use std::io;

/// Makes a function without arguments, which returns the exit code, the program; the crate is one without `main`
/// (`no_main`) where the C library is GNU's, but for its unit tests, whose `main` is the harness.
///
/// There the C library calls it without the standard library in between. That prepares for naming a stack overflow, for
/// which it has the C library read `/proc/self/maps`: with the rest of it a fourteenth of the time of a short command.
/// Arguments come by themselves: with this C library the standard library has them before `main` (`std::env::args`).
#[macro_export]
macro_rules! run_as_program {
    ($run:path) => {
        // SAFETY: no library has a symbol of this name, and this is the signature that the C library calls it by: arguments
        // that are passed and not taken do no harm (C standard, 5.1.2.2.1).
        #[cfg(all(target_os = "linux", target_env = "gnu", not(test)))]
        #[unsafe(no_mangle)]
        extern "C" fn main() -> i32 {
            match $crate::sys::start::prepare() {
                Ok(()) => std::process::exit($run()),
                // Without standard descriptors there is nobody to tell.
                Err(_) => std::process::exit(1),
            }
        }

        #[cfg(not(all(target_os = "linux", target_env = "gnu", not(test))))]
        fn main() {
            std::process::exit($run())
        }
    };
}

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
