//! Programs from Debian: nginx as a backend that somebody else wrote, clients and attackers as judges.

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

/// The programs, and the packages that have them.
const PROGRAMS: &[(&str, &str)] = &[
    ("nginx", "nginx-core"),
    ("curl", "curl"),
    ("nghttp", "nghttp2-client"),
    ("h2load", "nghttp2-client"),
    ("slowhttptest", "slowhttptest"),
    ("testssl", "testssl.sh"),
    ("node", "nodejs"),
    ("npm", "npm"),
];
/// Where Debian puts services.
const SERVICES: &str = "/usr/sbin";
/// Debian asks this program before it starts a service; 101 forbids it.
const POLICY: &str = "/usr/sbin/policy-rc.d";
const FORBID: &str = "#!/bin/sh\nexit 101\n";

/// Installs what is missing where that is possible, and says so where it is not: the stories that need it then fail and
/// say so too.
pub(crate) fn ensure() -> Result<()> {
    let mut missing: Vec<&str> =
        PROGRAMS.iter().filter(|(program, _)| !installed(program)).map(|(_, package)| *package).collect();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.join(" ");
    if !(is_root()? && in_path("apt-get")) {
        eprintln!(
            "warning: some programs are missing, and only root on Debian can have them installed from here; install \
             {packages}"
        );
        return Ok(());
    }
    eprintln!("installing {packages}, without starting a service");
    let policy = Policy::forbid_services()?;
    let installed = install(&missing);
    drop(policy);
    installed
}

/// The search path with Debian's place for services at its end: only root has it there anyway.
pub(crate) fn with_their_folder() -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    Ok(env::join_paths(env::split_paths(&path).chain([SERVICES.into()]))?)
}

fn installed(program: &str) -> bool {
    in_path(program) || Path::new(SERVICES).join(program).exists()
}

fn in_path(program: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(program).exists()))
}

/// By whom the kernel takes this process to be.
fn is_root() -> Result<bool> {
    use std::os::unix::fs::MetadataExt;
    Ok(fs::metadata("/proc/self").context("who runs this?")?.uid() == 0)
}

fn install(packages: &[&str]) -> Result<()> {
    let apt =
        |arguments: &[&str]| run(Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive"));
    let install = [&["install", "--yes", "--quiet=2", "--no-install-recommends"], packages].concat();
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
