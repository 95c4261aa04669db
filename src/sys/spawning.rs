//! Starting threads and programs where a filter of system calls is in the way.
//!
//! The C library starts both by clone3(2) (kernel 5.3) and, where the kernel answers that there is no such call, by
//! clone(2). Container runtimes older than the call have filters that answer `EPERM`, of which the C library makes a
//! failure.

use std::ffi::OsStr;
use std::io;
use std::process::Command;
use std::sync::OnceLock;
use std::thread;

/// A thread to be started.
///
/// # Errors
/// If a filter refuses clone3(2), and this process may not have one of its own.
pub fn thread(name: &str) -> io::Result<thread::Builder> {
    match clone3() {
        Clone3::Refused => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "a seccomp filter answers EPERM for clone3, where ENOSYS is expected: update the container runtime, or run \
             this as root",
        )),
        Clone3::Left => Ok(thread::Builder::new().name(name.to_owned())),
    }
}

/// A program to be started.
pub fn program(program: impl AsRef<OsStr>) -> Command {
    // What is wrong is told by the start.
    clone3();
    Command::new(program)
}

/// What becomes of the C library's attempt.
#[derive(Clone, Copy)]
enum Clone3 {
    /// It works, or leaves clone(2) to be tried.
    Left,
    Refused,
}

/// Asked once, before there is a second thread: a filter is for the thread that installs it, and for those it starts.
fn clone3() -> Clone3 {
    static ANSWER: OnceLock<Clone3> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        if !is_refused() {
            return Clone3::Left;
        }
        match answer_that_there_is_none() {
            Ok(()) => Clone3::Left,
            Err(error) => {
                tracing::info!(%error, "clone3-is-refused");
                Clone3::Refused
            }
        }
    })
}

fn is_refused() -> bool {
    // SAFETY: without arguments, of a size that the kernel takes for none, the call starts nothing.
    let result = unsafe { libc::syscall(libc::SYS_clone3, std::ptr::null::<u8>(), 0_usize) };
    result == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

/// Has clone3(2) fail with `ENOSYS`. Of filters with answers of one kind the newest one's counts (seccomp(2)). Root needs
/// no promise to have no more privileges (`PR_SET_NO_NEW_PRIVS`), which would take the setuid helpers from others.
fn answer_that_there_is_none() -> io::Result<()> {
    const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
    // The number is the same on all architectures.
    const CLONE3: u32 = libc::SYS_clone3 as u32;
    let step = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf, k };
    // `nr` is the first member of `struct seccomp_data`.
    let mut steps = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, CLONE3),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, ENOSYS),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    // SAFETY: the kernel copies the program, whose length and steps are valid for the call.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0 as libc::c_ulong, &raw const program)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
