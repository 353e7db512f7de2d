//! nginx, which one suite uses as a backend that somebody else wrote.

use crate::cargo::run;
use anyhow::{Context, Result};
use std::{
    env,
    ffi::OsString,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// Debian's package with the program and nothing to configure.
const PACKAGE: &str = "nginx-core";
/// Where Debian puts it.
const SERVICES: &str = "/usr/sbin";
/// Debian asks this program before it starts a service; 101 forbids it.
const POLICY: &str = "/usr/sbin/policy-rc.d";
const FORBID: &str = "#!/bin/sh\nexit 101\n";

/// Installs it where that is possible, and says so where it is not: the suite that needs it then fails and says so too.
pub(crate) fn ensure() -> Result<()> {
    if installed() {
        return Ok(());
    }
    if !(is_root()? && in_path("apt-get")) {
        eprintln!(
            "warning: nginx is missing, and only root on Debian can have it installed from here; install {PACKAGE}"
        );
        return Ok(());
    }
    eprintln!("installing {PACKAGE}, without starting its service");
    let policy = Policy::forbid_services()?;
    let installed = install();
    drop(policy);
    installed
}

/// The search path with Debian's place for services at its end: only root has it there anyway.
pub(crate) fn with_its_folder() -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    Ok(env::join_paths(env::split_paths(&path).chain([SERVICES.into()]))?)
}

fn installed() -> bool {
    in_path("nginx") || Path::new(SERVICES).join("nginx").exists()
}

fn in_path(program: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(program).exists()))
}

/// By whom the kernel takes this process to be.
fn is_root() -> Result<bool> {
    use std::os::unix::fs::MetadataExt;
    Ok(fs::metadata("/proc/self").context("who runs this?")?.uid() == 0)
}

fn install() -> Result<()> {
    let apt =
        |arguments: &[&str]| run(Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive"));
    let install = ["install", "--yes", "--quiet=2", "--no-install-recommends", PACKAGE];
    // The lists of a fresh image are empty, those of another may be old.
    apt(&install).or_else(|_| apt(&["update", "--quiet=2"]).and_then(|()| apt(&install)))
}

/// While this lives, no package starts its service; what stood there before is put back.
struct Policy {
    before: Option<PathBuf>,
}

impl Policy {
    fn forbid_services() -> Result<Policy> {
        let kept = PathBuf::from(format!("{POLICY}.before-xtask"));
        let before = fs::rename(POLICY, &kept).ok().map(|()| kept);
        let policy = Policy { before };
        fs::write(POLICY, FORBID).with_context(|| format!("cannot write {POLICY}"))?;
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
        Ok(policy)
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        // Nothing better can be done about either: the file was there a moment ago.
        let _ = fs::remove_file(POLICY);
        if let Some(before) = &self.before {
            let _ = fs::rename(before, POLICY);
        }
    }
}
