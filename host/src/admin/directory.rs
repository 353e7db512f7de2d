//! The directory that holds the admin socket and the token. The user's own runtime directory may lie where anybody can
//! make one of that name, so it counts only while it is a real directory that nobody else can enter.

use crate::config::runtime_directory;
use std::{
    fs,
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::Path,
};

/// The directory of this file: made for its user alone where there is none.
pub(super) fn make_for(file: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(of(file))?;
    check_for(file)
}

/// Refuses a file in the user's runtime directory while others could have put it there. What the operator named is
/// taken as it is; so is what is not there.
///
/// # Errors
/// What is wrong with the directory, and what to do.
pub fn check_for(file: &Path) -> io::Result<()> {
    let directory = of(file);
    if directory != runtime_directory() {
        return Ok(());
    }
    match check(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        checked => checked,
    }
}

fn check(directory: &Path) -> io::Result<()> {
    let there = fs::symlink_metadata(directory)?;
    let wrong = if !there.is_dir() {
        "is no directory: remove it"
    } else if there.uid() != rustix::process::getuid().as_raw() {
        "belongs to somebody else: remove it, or set XDG_RUNTIME_DIR"
    } else if there.mode() & 0o077 != 0 {
        "is open to others: `chmod 700` it"
    } else {
        return Ok(());
    };
    Err(io::Error::new(ErrorKind::PermissionDenied, format!("{} {wrong}", directory.display())))
}

fn of(file: &Path) -> &Path {
    file.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn only_a_real_directory_of_ones_own_is_private() {
        let room = tempfile::tempdir().unwrap();
        let (own, link, file) = (room.path().join("own"), room.path().join("link"), room.path().join("file"));
        fs::DirBuilder::new().mode(0o700).create(&own).unwrap();
        symlink(&own, &link).unwrap();
        fs::write(&file, "").unwrap();
        assert!(check(&own).is_ok());
        let said = |path: &Path| check(path).unwrap_err().to_string();
        assert!(said(&link).contains("is no directory") && said(&file).contains("is no directory"));
        for open in [0o750, 0o701, 0o777] {
            fs::set_permissions(&own, fs::Permissions::from_mode(open)).unwrap();
            assert!(said(&own).contains("chmod 700"), "{open:o}");
        }
        // Where this is root, who owns everything: somebody else's is one that was given away.
        if rustix::process::getuid().is_root() {
            fs::set_permissions(&own, fs::Permissions::from_mode(0o700)).unwrap();
            std::os::unix::fs::chown(&own, Some(1), None).unwrap();
            assert!(said(&own).contains("somebody else"));
        }
    }
}
