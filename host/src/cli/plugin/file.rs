//! Component files: read, verified as a running Pointsman would, and put where one looks for them.

use crate::{
    cli::table::grouped,
    config::model::Plugins,
    plugin::{Artifact, Compiled, Origin, Runtime},
    problem::Problem,
};
use anyhow::Context as _;
use std::{
    fs::{self, File, Permissions},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::Arc,
};

/// A runtime with the limits that a configuration has by default, and nothing cached: for looking at plugins.
pub(super) fn runtime() -> Result<Arc<Runtime>, Problem> {
    Runtime::new(&Plugins::default(), 1, "", None)
}

/// Reads a file as the plugin of this name.
pub(super) fn read(name: &str, path: &Path) -> anyhow::Result<Artifact> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Artifact::new(name, bytes, Origin::File(path.to_owned())))
}

/// Puts a whole file in place in one step: whoever reads `path` sees the old bytes or the new ones, never a part, and a
/// power cut does not change that.
pub(super) fn put(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    try_put(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

fn try_put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Hidden, so that nobody takes the scratch file for a plugin; readable, since others may serve it.
    let permissions = Permissions::from_mode(0o644);
    let mut scratch = tempfile::Builder::new()
        .prefix(".pointsman-")
        .suffix(".tmp")
        .permissions(permissions)
        .tempfile_in(directory)?;
    scratch.write_all(bytes)?;
    scratch.as_file().sync_all()?;
    scratch.persist(path)?;
    File::open(directory)?.sync_all()
}

/// The version of the contract that a plugin was built for.
pub(super) fn contract_version(compiled: &Compiled) -> Option<&str> {
    compiled.exports().iter().find_map(|name| name.strip_prefix("pointsman:plugin/")?.split_once('@')).map(|(_, v)| v)
}

/// A number of bytes with its digits in groups, as in `46 711 B`.
pub(super) fn bytes_in_words(bytes: usize) -> String {
    format!("{} B", grouped(bytes as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_put_whole_and_readable_for_others() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.wasm");
        for bytes in ["one", "another"] {
            put(&path, bytes.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), bytes);
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o044, 0o044);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no scratch file is left");
    }

    #[test]
    fn what_cannot_be_written_says_where() {
        let error = put(Path::new("/nowhere/a.wasm"), b"x").unwrap_err();
        assert!(format!("{error:#}").starts_with("cannot write /nowhere/a.wasm: "), "{error:#}");
    }

    #[test]
    fn digits_in_groups() {
        for (bytes, text) in [(0, "0 B"), (999, "999 B"), (46_711, "46 711 B"), (1_048_576, "1 048 576 B")] {
            assert_eq!(bytes_in_words(bytes), text);
        }
    }
}
