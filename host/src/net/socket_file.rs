//! Listening on a socket file: a dead one is replaced, a live one is not, and ours goes when we go.

use socket2::{Domain, SockAddr, Socket, Type};
use std::{
    fs::{self, File, TryLockError},
    io::{self, ErrorKind},
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};
use tokio::time::Instant;

/// How long another process may keep a directory locked: a start holds it for a few system calls.
const LOCK_MOST: Duration = Duration::from_secs(1);
/// Between two looks at it.
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// A socket file; removed when dropped, unless a successor has put its own there by then.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: Mutex<Identity>,
}

/// Device, inode, and when it last changed, for the number of an inode that is gone is used again.
type Identity = (u64, u64, i64, i64);

impl SocketFile {
    /// Listens on this path, with this mode and room for so many that wait. A dead socket file is replaced.
    ///
    /// # Errors `AddrInUse` when somebody answers there, `AlreadyExists` when it is a file of another kind, or what the
    /// system says.
    pub fn listen(path: &Path, mode: u32, backlog: i32) -> io::Result<(UnixListener, SocketFile)> {
        // Two starts at once must not each take the other's new socket for a dead one.
        let _guard = lock(path)?;
        match fs::symlink_metadata(path) {
            Ok(file) if !file.file_type().is_socket() => {
                return Err(io::Error::new(ErrorKind::AlreadyExists, "a file that is no socket is there"));
            }
            Ok(_) if is_live(path)? => return Err(ErrorKind::AddrInUse.into()),
            Ok(_) => fs::remove_file(path)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        // Before it listens: nobody gets in while the mode is still the default one.
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        let file = SocketFile { path: path.to_owned(), identity: Mutex::new(identity_of(path)?) };
        socket.listen(backlog)?;
        socket.set_nonblocking(true)?;
        Ok((socket.into(), file))
    }

    /// Gives it another mode, if it is still there.
    ///
    /// # Errors
    /// What the system says.
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        let _guard = lock(&self.path)?;
        let mut identity = self.identity.lock().unwrap_or_else(PoisonError::into_inner);
        if identity_of(&self.path)? == *identity {
            fs::set_permissions(&self.path, fs::Permissions::from_mode(mode))?;
            // That was a change.
            *identity = identity_of(&self.path)?;
        }
        Ok(())
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let identity = *self.identity.get_mut().unwrap_or_else(PoisonError::into_inner);
        let path = std::mem::take(&mut self.path);
        // Nobody is there to be told; the next start replaces a dead socket.
        let _ = match try_lock(&path) {
            // This may be a worker's thread, whose connections wait for nobody.
            Ok(None) => {
                thread::Builder::new().spawn(move || lock(&path).and_then(|_guard| remove(&path, identity))).map(drop)
            }
            Ok(Some(_guard)) => remove(&path, identity),
            Err(error) => Err(error),
        };
    }
}

fn remove(path: &Path, identity: Identity) -> io::Result<()> {
    if identity_of(path)? == identity { fs::remove_file(path) } else { Ok(()) }
}

fn identity_of(path: &Path) -> io::Result<Identity> {
    let there = fs::symlink_metadata(path)?;
    Ok((there.dev(), there.ino(), there.ctime(), there.ctime_nsec()))
}

/// Whether somebody listens behind a socket file; one who is too busy to take a call does.
fn is_live(path: &Path) -> io::Result<bool> {
    let caller = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    caller.set_nonblocking(true)?;
    Ok(match caller.connect(&SockAddr::unix(path)?) {
        Ok(()) => true,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    })
}

/// Keeps other starts and ends of this program away from the directory of this file until it is dropped.
fn lock(file: &Path) -> io::Result<File> {
    let end = Instant::now() + LOCK_MOST;
    loop {
        match try_lock(file)? {
            Some(directory) => return Ok(directory),
            None if Instant::now() < end => thread::park_timeout(LOCK_PAUSE),
            None => return Err(ErrorKind::AddrInUse.into()),
        }
    }
}

/// The same; none: somebody else does.
fn try_lock(file: &Path) -> io::Result<Option<File>> {
    let directory = file.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let directory = File::open(directory)?;
    match directory.try_lock() {
        Ok(()) => Ok(Some(directory)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_lets_go_of_a_file_does_not_wait_for_who_has_its_directory() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("edge.sock");
        let (_listener, file) = SocketFile::listen(&path, 0o600, 1).unwrap();
        let locked = lock(&path).unwrap();
        drop(file);
        drop(locked);
        // Whoever had waited for the lock would have given up by now.
        let end = Instant::now() + 60 * LOCK_MOST;
        while path.exists() {
            assert!(Instant::now() < end, "it is removed once the directory is free");
            thread::park_timeout(LOCK_PAUSE);
        }
    }
}
