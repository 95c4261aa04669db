//! What the program does about signals: as little as possible.

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
