//! What the program does about signals: as little as possible.

use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

/// Signals that ask for an end, from a terminal, also one that has gone away, or a supervisor.
const ENDS: [i32; 3] = [libc::SIGHUP, libc::SIGINT, libc::SIGTERM];
/// Those of them that are handled, a bit for each number.
static HANDLED: AtomicU32 = AtomicU32::new(0);

/// Has a write beyond `RLIMIT_FSIZE` fail with `EFBIG` (setrlimit(2)), which is told and tidied up after like any other
/// failure, where the signal would end the process. Programs that this one starts inherit that.
pub fn ignore_file_size_limit() {
    // SAFETY: SIGXFSZ is a signal that may be ignored, and ignoring it runs no code.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// Has the ends of this program's children be waited for: whoever starts it may have left the kernel to forget them, which
/// programs inherit (`SIG_IGN` for SIGCHLD in sigaction(2)).
pub fn reset_sigchld() {
    // SAFETY: what a signal does by default runs no code of this program.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// Has `handler` called for signals that ask for an end. One that is ignored stays so: a shell has its background jobs ignore
/// what is typed. Programs that this one starts have the default again (execve(2)).
///
/// # Errors
/// Those of sigaction(2).
pub fn handle_ends(handler: extern "C" fn(i32)) -> io::Result<()> {
    for signal in ENDS {
        let mut old = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: `old` has room for what is written there; nothing is changed.
        check(unsafe { libc::sigaction(signal, std::ptr::null(), old.as_mut_ptr()) })?;
        // SAFETY: zeros are a valid `sigaction`, which the call has replaced.
        if unsafe { old.assume_init() }.sa_sigaction == libc::SIG_IGN {
            continue;
        }
        // SAFETY: zeros are a valid `sigaction`: no flags, and no signal held off meanwhile.
        let mut new: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
        new.sa_sigaction = handler as *const () as usize;
        // Calls that were interrupted go on: nobody has to expect that they fail.
        new.sa_flags = libc::SA_RESTART;
        // SAFETY: `handler` is a function for the life of the program, which takes a signal, as there is no `SA_SIGINFO`.
        check(unsafe { libc::sigaction(signal, &raw const new, std::ptr::null_mut()) })?;
        HANDLED.fetch_or(1 << signal, Ordering::Relaxed);
    }
    Ok(())
}

/// Has signals that ask for an end, and were handled, do what they do by default.
pub(super) fn stop_handling_ends() {
    let handled = HANDLED.load(Ordering::Relaxed);
    for signal in ENDS.into_iter().filter(|signal| handled & 1 << signal != 0) {
        // SAFETY: what a signal does by default runs no code of this program.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Whoever waits for the eventfd `to` is woken. May be called by the handler of a signal.
pub(super) fn wake(to: i32) {
    let one = 1_u64.to_ne_bytes();
    // SAFETY: the pointer and the length describe `one`. Which descriptor it is is checked by the kernel; `errno` of what
    // was interrupted is no concern, as the call succeeds.
    unsafe { libc::write(to, one.as_ptr().cast(), one.len()) };
}

/// The process that [`forward_ends`] sends signals to.
static FORWARD_TO: AtomicI32 = AtomicI32::new(0);

/// Passes signals that ask for an end on to a child, which this process then ends with.
///
/// # Errors
/// Those of sigaction(2).
pub fn forward_ends(child: i32) -> io::Result<()> {
    extern "C" fn forward(signal: i32) {
        // SAFETY: sends a signal; that is allowed in a handler (signal-safety(7)).
        unsafe { libc::kill(FORWARD_TO.load(Ordering::Relaxed), signal) };
    }
    FORWARD_TO.store(child, Ordering::Relaxed);
    handle_ends(forward)
}

/// Whether the signal asks for an end.
pub fn is_end(signal: i32) -> bool {
    ENDS.contains(&signal)
}

/// Ends the process by this signal, as if it were not handled: whoever waits for the process learns what it was.
pub fn end_by(signal: i32) -> ! {
    // SAFETY: what a signal does by default runs no code of this program, and the process may send itself one.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
    // Only where the signal is held off.
    std::process::exit(128 + signal)
}

fn check(result: i32) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
