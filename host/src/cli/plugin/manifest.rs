//! `plugin.toml`: what a plugin project says about itself.

use crate::config::is_plugin_name;
use anyhow::{Context as _, bail};
use serde::Deserialize;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The file's name.
pub(super) const FILE: &str = "plugin.toml";

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    /// What it serves as.
    pub(super) name: String,
    /// What it is for.
    pub(super) kind: Kind,
    /// One line for lists.
    #[serde(rename = "summary")]
    _summary: Option<String>,
    /// How it is built.
    build: Option<Build>,
    /// What its user may set, for documents.
    #[serde(rename = "settings")]
    _settings: Option<toml::Table>,
    /// What it promises to cost, for documents.
    #[serde(rename = "cost")]
    _cost: Option<Vec<toml::Table>>,
}

/// What a plugin is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// Chooses a backend for each request
    Balancer,
    /// Sees requests before that, and may change or answer them
    Filter,
}

/// How a plugin is built.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Build {
    /// A program and its arguments, run in the project's folder.
    pub(super) command: Vec<String>,
    /// What comes of it, from the project's folder.
    pub(super) component: PathBuf,
}

impl Manifest {
    /// Reads the file of a project.
    pub(super) fn read(project: &Path) -> anyhow::Result<Manifest> {
        let path = project.join(FILE);
        let text = fs::read_to_string(&path).with_context(|| {
            format!("{} cannot be read; `pointsman plugin new NAME` makes a project", path.display())
        })?;
        let manifest: Manifest = toml::from_str(&text).with_context(|| path.display().to_string())?;
        if !is_plugin_name(&manifest.name) {
            bail!("{}: `name` has lower-case letters, digits and dashes only, a letter first", path.display());
        }
        Ok(manifest)
    }

    /// How to build it.
    pub(super) fn build(&self) -> anyhow::Result<&Build> {
        self.build.as_ref().with_context(|| format!("{FILE} has no [build] with `command` and `component`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> anyhow::Result<Manifest> {
        let project = tempfile::tempdir().unwrap();
        fs::write(project.path().join(FILE), text).unwrap();
        Manifest::read(project.path())
    }

    #[test]
    fn what_is_wrong_with_it_is_said() {
        for (text, wrong) in [
            ("name = 'A'\nkind = 'filter'", "`name` has lower-case"),
            ("name = 'a'\nkind = 'oracle'", "unknown variant `oracle`"),
            ("name = 'a'\nkind = 'filter'\ncolour = 1", "unknown field `colour`"),
            ("name = 'a'", "missing field `kind`"),
        ] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains(wrong) && error.contains(FILE), "{error}");
        }
    }

    #[test]
    fn building_needs_a_build() {
        let manifest = read("name = 'a'\nkind = 'balancer'\nsummary = 'x'\n[settings.k]\ndefault = 2").unwrap();
        assert!(manifest.build().unwrap_err().to_string().contains("[build]"));
        assert_eq!(manifest.kind, Kind::Balancer);
    }
}
