//! What the program does about signals: as little as possible.

/// Has a write beyond `RLIMIT_FSIZE` fail with `EFBIG` (setrlimit(2)), which is told and tidied up after like any other
/// failure, where the signal would end the process. Programs that this one starts inherit that.
pub fn ignore_file_size_limit() {
    // SAFETY: SIGXFSZ is a signal that may be ignored, and ignoring it runs no code.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}
