//! Programs from PyPI and npm that ours is held against, in the versions that `tests/judges` pins.

use crate::cargo::{root, run, target};
use anyhow::{Context, Result};
use std::{fs, path::Path, process::Command};

/// Installs them into `target/judges`, unless the versions that are asked for are there.
pub(crate) fn ensure() -> Result<()> {
    let (wanted, judges) = (root().join("tests/judges"), target()?.join("judges"));
    once(&wanted.join("requirements.txt"), &judges.join("python"), |list, folder| {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder))
            .context("python3 cannot make a virtual environment; on Debian, install python3-venv")?;
        let pip = ["install", "--quiet", "--disable-pip-version-check", "--requirement"];
        run(Command::new(folder.join("bin/pip")).args(pip).arg(list))
    })?;
    once(&wanted.join("package-lock.json"), &judges.join("node"), |lock, folder| {
        fs::create_dir_all(folder)?;
        fs::copy(lock, folder.join("package-lock.json"))?;
        fs::copy(wanted.join("package.json"), folder.join("package.json"))?;
        run(Command::new("npm").args(["ci", "--silent", "--no-audit", "--no-fund"]).current_dir(folder))
    })
}

/// Installs what a list says into a folder; once: a copy of the list, written last, says that it is there.
fn once(list: &Path, folder: &Path, install: impl FnOnce(&Path, &Path) -> Result<()>) -> Result<()> {
    let (wanted, mark) = (fs::read(list)?, folder.join("installed"));
    if fs::read(&mark).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    eprintln!("installing what {} lists", list.display());
    install(list, folder)?;
    fs::write(mark, wanted).map_err(Into::into)
}
