//! A plugin directory, and whoever writes files into it: well, or in one of the ways files really arrive.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// A directory of its own, gone with this value.
pub struct Plugins {
    /// Beside the directory, on the same file system: renames out of it are whole.
    room: TempDir,
}

impl Default for Plugins {
    fn default() -> Self {
        Plugins::new()
    }
}

impl Plugins {
    /// Empty.
    pub fn new() -> Plugins {
        let room = tempfile::tempdir().unwrap();
        fs::create_dir(room.path().join("plugins")).unwrap();
        fs::create_dir(room.path().join("elsewhere")).unwrap();
        Plugins { room }
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.room.path().join("plugins")
    }

    /// Where a plugin's file is.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(format!("{name}.wasm"))
    }

    /// Writes a plugin as one should: elsewhere first, then a rename.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        fs::rename(self.elsewhere(name, bytes), self.file(name)).unwrap();
    }

    /// Writes a plugin in place, this much of it, as a copy does that is still under way.
    pub fn write_part(&self, name: &str, bytes: &[u8], length: usize) {
        fs::write(self.file(name), &bytes[..length]).unwrap();
    }

    /// The rest of [`Plugins::write_part`].
    pub fn write_rest(&self, name: &str, bytes: &[u8], from: usize) {
        use std::io::Write;
        let mut file = fs::OpenOptions::new().append(true).open(self.file(name)).unwrap();
        file.write_all(&bytes[from..]).unwrap();
    }

    /// Deletes a plugin's file.
    pub fn remove(&self, name: &str) {
        fs::remove_file(self.file(name)).unwrap();
    }

    /// Nobody may read it. Root may read everything, so then there is a directory of that name instead: opened as a file,
    /// it cannot be read either.
    pub fn put_unreadable(&self, name: &str, bytes: &[u8]) {
        let elsewhere = self.elsewhere(name, bytes);
        fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o000)).unwrap();
        if fs::read(&elsewhere).is_ok() {
            fs::create_dir(self.file(name)).unwrap();
        } else {
            fs::rename(elsewhere, self.file(name)).unwrap();
        }
    }

    /// Deletes the directory with all that is in it.
    pub fn delete_directory(&self) {
        fs::remove_dir_all(self.path()).unwrap();
    }

    /// Makes it again, empty.
    pub fn make_directory(&self) {
        fs::create_dir(self.path()).unwrap();
    }

    /// Fills the directory as Kubernetes fills a volume: `NAME.wasm` links to `..data/NAME.wasm`, `..data` to a directory
    /// named for its version; the next version comes by one rename of `..data`.
    pub fn put_as_volume(&self, version: &str, name: &str, bytes: &[u8]) {
        let directory = self.path();
        let contents = directory.join(format!("..{version}"));
        fs::create_dir(&contents).unwrap();
        fs::write(contents.join(format!("{name}.wasm")), bytes).unwrap();
        let old = fs::read_link(directory.join("..data")).ok();
        symlink(format!("..{version}"), directory.join("..data_tmp")).unwrap();
        fs::rename(directory.join("..data_tmp"), directory.join("..data")).unwrap();
        match old {
            Some(old) => fs::remove_dir_all(directory.join(old)).unwrap(),
            None => symlink(Path::new("..data").join(format!("{name}.wasm")), self.file(name)).unwrap(),
        }
    }

    fn elsewhere(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.room.path().join("elsewhere").join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}
