//! Who has a port: the kernel tells it in /proc, to those who may look.

use std::{fmt, fs, path::Path};

/// A process that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pid: u32,
    name: String,
}

/// The process that listens on this TCP port, as far as we may see it.
pub(super) fn of(port: u16) -> Option<Holder> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .find_map(|table| listening_inode(&fs::read_to_string(table).ok()?, port))?;
    let link = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let (pid, directory) = processes
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .find(|(_, directory)| has_open(directory, &link))?;
    let name = fs::read_to_string(directory.join("comm")).unwrap_or_default().trim().to_owned();
    Some(Holder { pid, name })
}

/// The inode of the socket that listens on this port, out of the kernel's table.
fn listening_inode(table: &str, port: u16) -> Option<u64> {
    const LISTEN: &str = "0A";
    let local = format!(":{port:04X}");
    table.lines().find_map(|line| {
        // sl, local address, remote address, state, queues, timer, retransmits, uid, timeout, inode
        let columns: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, address, _, LISTEN, _, _, _, _, _, inode, ..] = columns[..] else { return None };
        address.ends_with(&local).then(|| inode.parse().ok()).flatten()
    })
}

fn has_open(process: &Path, link: &str) -> bool {
    let Ok(files) = fs::read_dir(process.join("fd")) else { return false };
    files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == link))
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pid == std::process::id() {
            f.write_str("another listener of this process")
        } else {
            write!(f, "pid {} ({})", self.pid, self.name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            \x20  0: 0100007F:01BB 0100007F:8D3A 01 00000000:00000000 00:00000000 00000000     0        0 111 1 x\n\
            \x20  1: 00000000:01BB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 222 1 x\n";
        assert_eq!(listening_inode(table, 443), Some(222));
        assert_eq!(listening_inode(table, 80), None);
    }

    #[test]
    fn our_own_port_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let holder = of(listener.local_addr().unwrap().port()).unwrap();
        assert_eq!(holder.pid, std::process::id());
        assert_eq!(holder.to_string(), "another listener of this process");
        assert_eq!(Holder { pid: 812, name: "nginx".into() }.to_string(), format!("pid 812 (nginx)"));
    }
}
