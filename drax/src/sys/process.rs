//! What a process is and inherits.

use super::check;
use std::fs::{self, File};
use std::io::{self, Read};
use std::mem::{MaybeUninit, size_of};
use std::os::fd::RawFd;

/// Eight random bytes from the kernel.
pub(crate) fn random() -> io::Result<u64> {
    let mut bytes = [0_u8; 8];
    // SAFETY: the pointer and length describe `bytes`. Requests of up to 256 bytes are never cut short.
    let count = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if count == -1 {
        // Kernels before 3.17, and filters of system calls that do not know it.
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    }
    Ok(u64::from_ne_bytes(bytes))
}

/// The user who started the process.
pub(crate) fn real_uid() -> u32 {
    // SAFETY: getuid has no preconditions and cannot fail.
    unsafe { libc::getuid() }
}

/// The user whose rights the process has.
pub(crate) fn effective_uid() -> u32 {
    // SAFETY: geteuid has no preconditions and cannot fail.
    unsafe { libc::geteuid() }
}

/// Forbids core dumps of, and tracing and `/proc` access by other users to, this process.
pub(crate) fn forbid_dumps() -> io::Result<()> {
    // SAFETY: PR_SET_DUMPABLE takes an integer and touches no memory of ours.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) }).map(drop)
}

/// Ends the process at once: nothing is unwound, and standard output is not the standard library's, which may be locked.
pub(crate) fn exit_with(line: &str) -> ! {
    // SAFETY: the pointer and length describe `line`. Where nobody listens there is nobody to tell.
    unsafe { libc::write(libc::STDOUT_FILENO, line.as_ptr().cast(), line.len()) };
    // SAFETY: _exit has no preconditions.
    unsafe { libc::_exit(libc::EXIT_FAILURE) }
}

/// Sets the file mode creation mask.
pub(crate) fn set_umask(mask: libc::mode_t) {
    // SAFETY: umask has no preconditions and cannot fail.
    unsafe { libc::umask(mask) };
}

/// Empties the environment.
pub(crate) fn clear_environment() -> io::Result<()> {
    // SAFETY: the caller runs before any other thread exists and holds no pointer into the environment.
    if unsafe { libc::clearenv() } == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ENOMEM)) }
}

/// Opens `/dev/null` on each of descriptors 0, 1 and 2 that is closed, so that no file opened later lands there.
pub(crate) fn open_standard_descriptors() -> io::Result<()> {
    for wanted in 0..=2 {
        // SAFETY: F_GETFD only looks the number up.
        if unsafe { libc::fcntl(wanted, libc::F_GETFD) } != -1 {
            continue;
        }
        // SAFETY: the path is a NUL-terminated literal. The lowest free number is `wanted`: all below it are open.
        let opened: RawFd = check(unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) })?;
        if opened != wanted {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
    }
    Ok(())
}

/// Closes every descriptor from 3 up (close_range(2), kernel 5.9), one after the other where that cannot be done.
pub(crate) fn close_other_descriptors() -> io::Result<()> {
    // SAFETY: called first thing in the process, when nothing of ours owns a descriptor above 2.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32) };
    if result == -1 { close_each_other_descriptor() } else { Ok(()) }
}

/// The names of what is open (proc_pid_fd(5)).
fn close_each_other_descriptor() -> io::Result<()> {
    let names = fs::read_dir("/proc/self/fd")?;
    let numbers: Vec<RawFd> = names.filter_map(|name| name.ok()?.file_name().to_str()?.parse().ok()).collect();
    for number in numbers.into_iter().filter(|number| *number > 2) {
        // SAFETY: as above. The directory that was read is closed already, which is an error without consequences.
        unsafe { libc::close(number) };
    }
    Ok(())
}

/// Sets of capabilities, one bit each (`capabilities(7)`).
pub(crate) mod capability {
    /// Quotas, and attributes in the namespace `trusted`.
    pub(crate) const SYS_ADMIN: u64 = 1 << 21;
    /// What makes root independent of owners and permissions of files: `CAP_CHOWN`, `CAP_DAC_OVERRIDE`,
    /// `CAP_DAC_READ_SEARCH`, `CAP_FOWNER`.
    pub(crate) const OF_FILES: u64 = 0b1111;
}

/// `struct __user_cap_header_struct`
#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: libc::c_int,
}
const _: () = assert!(size_of::<CapabilityHeader>() == 8);

/// `struct __user_cap_data_struct`; there are two, for the lower and the upper 32 capabilities.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapabilityData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}
const _: () = assert!(size_of::<CapabilityData>() == 12);

/// Gives up all capabilities but those of `wanted` that the process has.
pub(crate) fn keep_capabilities(wanted: u64) -> io::Result<()> {
    /// `_LINUX_CAPABILITY_VERSION_3`
    const VERSION: u32 = 0x2008_0522;
    let mut header = CapabilityHeader { version: VERSION, pid: 0 };
    let mut data = [CapabilityData::default(); 2];
    // SAFETY: both pointers are to structures as this version of the call reads and writes them (sizes asserted above).
    let result = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) };
    check_long(result)?;
    for (half, wanted) in data.iter_mut().zip([wanted as u32, (wanted >> 32) as u32]) {
        let kept = half.permitted & wanted;
        *half = CapabilityData { effective: kept, permitted: kept, inheritable: 0 };
    }
    // SAFETY: as above; the call only reads.
    check_long(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) })
}

/// Has the kernel check access to files as for user `uid`, who then also owns what is made.
pub(crate) fn set_filesystem_uid(uid: u32) -> io::Result<()> {
    // SAFETY: setfsuid takes a number. It returns the number in force before, also when it fails; and -1 is never set.
    let now = unsafe {
        libc::setfsuid(uid);
        libc::setfsuid(u32::MAX)
    };
    if now as u32 == uid { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EPERM)) }
}

/// Makes sure that no program started from here gains rights.
pub(crate) fn forbid_new_privileges() -> io::Result<()> {
    // SAFETY: PR_SET_NO_NEW_PRIVS takes integers and touches no memory of ours.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }).map(drop)
}

/// Whether the process was started by one that may gain no rights, so that a setuid bit means nothing.
pub(crate) fn are_new_privileges_forbidden() -> bool {
    // SAFETY: PR_GET_NO_NEW_PRIVS takes integers and touches no memory of ours.
    unsafe { libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 }
}

/// Whether the program's own file is on a filesystem whose setuid bits mean nothing.
pub(crate) fn is_own_file_nosuid() -> bool {
    let mut status = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the path is a NUL-terminated literal and the pointer valid for one `struct statvfs`.
    let result = unsafe { libc::statvfs(c"/proc/self/exe".as_ptr(), status.as_mut_ptr()) };
    // SAFETY: read only after statvfs has succeeded and filled the structure.
    result == 0 && unsafe { status.assume_init() }.f_flag & libc::ST_NOSUID != 0
}

/// Holds off all signals that can be held off, so that the process ends between two steps only by `SIGKILL`.
pub(crate) fn block_signals() -> io::Result<()> {
    let mut signals = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset fills the set it is given, which sigprocmask then reads; no old set is asked for.
    check(unsafe {
        libc::sigfillset(signals.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, signals.as_ptr(), std::ptr::null_mut())
    })
    .map(drop)
}

/// Allows as many open files as are needed, whatever the caller's limit. What the system does not allow is left.
pub(crate) fn allow_open_files(count: u64) {
    let limit = libc::rlimit { rlim_cur: count as libc::rlim_t, rlim_max: count as libc::rlim_t };
    // SAFETY: the pointer is to a live `struct rlimit`, which the call only reads.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
}

/// Year, month, day, hour, minute and second of a moment, in UTC.
pub(crate) fn utc(seconds: u64) -> [i32; 6] {
    // The alias for its type is deprecated under musl.
    let seconds = seconds as i64;
    let mut time = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are valid for the call. All of `struct tm` is numbers and a pointer, for which zeros are a
    // value, so it is initialised also where the year has no room in it.
    let time = unsafe {
        libc::gmtime_r(&raw const seconds, time.as_mut_ptr());
        time.assume_init()
    };
    [time.tm_year + 1900, time.tm_mon + 1, time.tm_mday, time.tm_hour, time.tm_min, time.tm_sec]
}

fn check_long(result: libc::c_long) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
