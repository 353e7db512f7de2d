//! What the system says a process holds, and how many files it lets it have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Resident memory of a process in bytes, as `/proc` tells it.
///
/// # Panics
/// When there is no such process.
pub fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS in /proc/PID/status");
    let kib: u64 = line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

/// Threads of a process.
///
/// # Panics
/// When there is no such process.
pub fn threads(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/task")).expect("the process lives").count()
}

/// As many connections as this process, and those that it starts from now on, may have, up to so many.
pub fn connections_within_the_file_limit(wanted: usize) -> usize {
    let limits = getrlimit(Resource::Nofile);
    let most = limits.maximum.unwrap_or(1 << 20);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limits.maximum });
    // Others run beside this one.
    let room = usize::try_from(most).unwrap_or(usize::MAX).saturating_sub(2000);
    if room < wanted {
        println!("the limit of open files allows {room} connections instead of {wanted}");
    }
    room.min(wanted)
}
