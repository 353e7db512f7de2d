//! What lies in a plugin directory, and one file's bytes. Blocking.

use crate::{
    config::{PLUGIN_NAME_MOST, is_plugin_name},
    plugin::runtime::too_large,
    problem::{Code, Problem},
};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File, Metadata},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What tells one state of a file from another. None of it says that the bytes differ: that is for their hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// In bytes.
    pub(super) size: u64,
    /// Last modification, seconds and nanoseconds; also the order of files at start.
    pub(super) modified: (i64, i64),
    changed: (i64, i64),
    identity: (u64, u64),
    is_file: bool,
}

/// A file whose name ends as a plugin's.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) stamp: Stamp,
}

/// How reading a file went.
#[derive(Debug)]
pub(super) enum Content {
    Bytes(Bytes),
    /// It is not what it was when it was listed, or gone.
    Changed,
    Refused(Problem),
}

/// Every `NAME.wasm` of a directory by its name, symbolic links followed. A link that leads nowhere is no file yet:
/// Kubernetes makes links before their targets.
pub(super) fn list(directory: &Path) -> io::Result<BTreeMap<Arc<str>, Found>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let Some(name) = stem(&printable(&entry.file_name())) else { continue };
        let path = entry.path();
        let metadata = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            // Reading it will say what is wrong; the link itself tells when that changes.
            Err(_) => entry.metadata()?,
            Ok(metadata) => metadata,
        };
        files.insert(name, Found { path, stamp: Stamp::of(&metadata) });
    }
    Ok(files)
}

/// A file's bytes, if it still is as it was listed and no larger than allowed.
pub(super) fn read(name: &str, found: &Found, size_most: u64) -> Content {
    let path = printable(found.path.as_os_str());
    let refused = |what: String| Problem::error(Code::UNREADABLE, format!("{path}: {what}"));
    if !is_plugin_name(name) {
        let rename = format!("rename it, for example to `{}.wasm`", near_name(name));
        return Content::Refused(
            refused("a plugin's name has lower-case letters, digits and dashes only".into()).note(rename),
        );
    }
    // Before it is opened: opening a pipe waits for a writer.
    if !found.stamp.is_file {
        return Content::Refused(refused("not a file".into()));
    }
    if found.stamp.size > size_most {
        return Content::Refused(too_large(&path, found.stamp.size, size_most));
    }
    match read_unchanged(found) {
        Ok(Some(bytes)) => Content::Bytes(bytes),
        Ok(None) => Content::Changed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Content::Changed,
        Err(error) => Content::Refused(refused(error.to_string())),
    }
}

/// None when the file is, before or after reading, not what it was when it was listed.
fn read_unchanged(found: &Found) -> io::Result<Option<Bytes>> {
    let file = File::open(&found.path)?;
    let is_same = || file.metadata().map(|metadata| Stamp::of(&metadata) == found.stamp);
    if !is_same()? {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    // One byte more than there should be, so that a file that grows is noticed and never read without end.
    (&file).take(found.stamp.size + 1).read_to_end(&mut bytes)?;
    let whole = bytes.len() as u64 == found.stamp.size && is_same()?;
    Ok(whole.then(|| bytes.into()))
}

impl Stamp {
    fn of(metadata: &Metadata) -> Stamp {
        Stamp {
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            identity: (metadata.dev(), metadata.ino()),
            is_file: metadata.is_file(),
        }
    }
}

/// A name as it is told: whoever may write into a directory writes nothing else on an operator's screen.
fn printable(name: &OsStr) -> String {
    let name = name.to_string_lossy();
    if name.contains(char::is_control) { name.escape_debug().to_string() } else { name.into_owned() }
}

/// The plugin's name in a file's, if it has one. Hidden files are a writer's scratch.
fn stem(file_name: &str) -> Option<Arc<str>> {
    file_name.strip_suffix(".wasm").filter(|stem| !stem.is_empty() && !stem.starts_with('.')).map(Arc::from)
}

/// The permitted name next to one that is not, for a hint.
fn near_name(name: &str) -> String {
    let name = name.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let name = name.trim_start_matches(|c: char| !c.is_ascii_lowercase()).trim_end_matches('-');
    if name.is_empty() { "mine".into() } else { name.chars().take(PLUGIN_NAME_MOST).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn names() {
        for (name, good) in [
            ("least-loaded", true),
            ("p2c", true),
            ("2fast", false),
            ("", false),
            ("-x", false),
            ("Least", false),
            ("least_loaded", false),
            ("ä", false),
            (&"x".repeat(PLUGIN_NAME_MOST), true),
            (&"x".repeat(PLUGIN_NAME_MOST + 1), false),
        ] {
            assert_eq!(is_plugin_name(name), good, "{name}");
            assert!(is_plugin_name(&near_name(name)), "{name}");
        }
        assert_eq!(near_name("Least_Loaded"), "least-loaded");
    }

    #[test]
    fn only_finished_names_are_listed() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["a.wasm", ".b.wasm", "c.wasm.tmp", "d.wasm~", "e.txt", ".wasm", "f_g.wasm"] {
            fs::write(directory.path().join(name), name).unwrap();
        }
        symlink("nowhere", directory.path().join("h.wasm")).unwrap();
        symlink("a.wasm", directory.path().join("i.wasm")).unwrap();
        let names: Vec<_> = list(directory.path()).unwrap().into_keys().collect();
        assert_eq!(names, ["a", "f_g", "i"].map(Arc::from));
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("good.wasm"), "12345").unwrap();
        fs::write(at("large.wasm"), "123456").unwrap();
        fs::write(at("bad_name.wasm"), "1").unwrap();
        fs::create_dir(at("folder.wasm")).unwrap();
        symlink("loop.wasm", at("loop.wasm")).unwrap();
        let files = list(directory.path()).unwrap();

        assert!(matches!(read("good", &files["good"], 5), Content::Bytes(bytes) if bytes == "12345"));
        for (name, what) in [
            ("large", "6 bytes, more than `plugins.size` (5)"),
            ("bad_name", "lower-case"),
            ("folder", "not a file"),
            ("loop", "not a file"),
        ] {
            let Content::Refused(problem) = read(name, &files[name], 5) else { panic!("{name} was read") };
            assert_eq!(problem.code, Code::UNREADABLE);
            assert!(problem.headline.contains(what), "{name}: {}", problem.headline);
        }
    }

    #[test]
    fn a_file_that_changed_since_it_was_listed_is_not_used() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.wasm");
        fs::write(&path, "12345").unwrap();
        let found = list(directory.path()).unwrap().remove("a").unwrap();
        fs::write(&path, "123456").unwrap();
        assert!(matches!(read("a", &found, 9), Content::Changed));
        fs::remove_file(&path).unwrap();
        assert!(matches!(read("a", &found, 9), Content::Changed));
    }
}
