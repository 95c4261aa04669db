//! The process's own arguments, which every user of the machine can read in `/proc/<pid>/cmdline`.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;

/// What hidden values become, byte by byte: their place cannot be made smaller.
const COVER: u8 = b'*';

/// Overwrites the values of `--flag VALUE` and `--flag=VALUE` (or with one dash) where others can see them. `arguments`
/// are the process's own, copied before; without the flag among them nothing is done.
///
/// Call it before there is a second thread; whoever asks for the arguments afterwards gets covered ones. Where the kernel
/// does not tell the place, the values stay.
pub fn hide_values(arguments: &[OsString], flag: &str) {
    let is_flag = |argument: &OsString| matches!(value(argument.as_bytes(), flag), Value::Within(_) | Value::Next);
    if !arguments.iter().any(is_flag) {
        return;
    }
    let Some((start, end)) = argv_range() else { return };
    let pointer = std::ptr::with_exposed_provenance_mut::<u8>(start);
    // SAFETY: the kernel laid the arguments out between these addresses at execve(2), in memory that stays mapped,
    // readable and writable, for the life of the process (proc_pid_stat(5), arg_start). Nobody else has a reference
    // into it: the standard library copies arguments, and there is no other thread that could be doing so.
    let memory = unsafe { std::slice::from_raw_parts_mut(pointer, end - start) };
    cover(memory, flag);
}

/// Covers values in arguments that end in zeros each.
fn cover(memory: &mut [u8], flag: &str) {
    let mut is_value = false;
    for argument in memory.split_mut(|byte| *byte == 0) {
        if std::mem::take(&mut is_value) {
            argument.fill(COVER);
            continue;
        }
        match value(argument, flag) {
            Value::Within(from) => argument[from..].fill(COVER),
            Value::Next => is_value = true,
            Value::None => {}
        }
    }
}

/// Where the flag's value is.
enum Value {
    /// In this argument, from this byte on.
    Within(usize),
    /// It is the next argument.
    Next,
    /// This is not the flag.
    None,
}

fn value(argument: &[u8], flag: &str) -> Value {
    let rest = argument.strip_prefix(b"--").or_else(|| argument.strip_prefix(b"-"));
    match rest.and_then(|rest| rest.strip_prefix(flag.as_bytes())) {
        Some([]) => Value::Next,
        Some([b'=', value @ ..]) => Value::Within(argument.len() - value.len()),
        _ => Value::None,
    }
}

/// First and last address of the arguments, fields 48 and 49 of `/proc/self/stat`. The second field, the program's
/// name, ends with the last parenthesis.
fn argv_range() -> Option<(usize, usize)> {
    let stat = fs::read("/proc/self/stat").ok()?;
    let end_of_name = stat.iter().rposition(|byte| *byte == b')')?;
    let fields = str::from_utf8(&stat[end_of_name + 1..]).ok()?;
    let mut fields = fields.split_whitespace().skip(48 - 3);
    let (start, end) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    (start != 0 && start < end).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_value_is_covered() {
        for (given, expected) in [
            (
                "g\0create\0--password\0pw\0--password-file\0f\0i\0",
                "g\0create\0--password\0**\0--password-file\0f\0i\0",
            ),
            ("g\0create\0-password=a=b\0i\0", "g\0create\0-password=***\0i\0"),
            ("g\0--password=\0--password\0", "g\0--password=\0--password\0"),
            ("g\0--password\0--password\0x\0", "g\0--password\0**********\0x\0"),
            ("g\0passwords\0--passwords\0x\0", "g\0passwords\0--passwords\0x\0"),
        ] {
            let mut memory = given.as_bytes().to_vec();
            cover(&mut memory, "password");
            assert_eq!(String::from_utf8(memory).unwrap(), expected, "{given:?}");
        }
    }

    #[test]
    fn the_kernel_tells_where_the_arguments_are() {
        let (start, end) = argv_range().unwrap();
        let arguments: usize = std::env::args_os().map(|argument| argument.len() + 1).sum();
        assert_eq!(end - start, arguments);
    }
}
