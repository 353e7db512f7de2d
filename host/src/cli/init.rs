//! `pointsman init`: writes a commented `pointsman.toml` that serves as it is.

use super::{Context, Exit, Failure};
use crate::config::DEFAULT_FILES;
use anyhow::Context as _;
use std::{
    fs::{OpenOptions, create_dir_all},
    io::{ErrorKind, Write},
    path::PathBuf,
};

/// What is written.
const TEMPLATE: &str = include_str!("init.toml");
/// The plugin directory that it names.
const PLUGINS: &str = "plugins";

#[derive(Debug, clap::Args)]
pub struct Args {}

pub(super) fn run(_: &Args, context: &mut Context<'_>) -> Result<Exit, Failure> {
    let path = context.global.config.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FILES[0]));
    let mut file = match OpenOptions::new().write(true).create_new(true).open(&path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let there = anyhow::anyhow!("{} is there already and is left as it is", path.display());
            return Err(Failure { exit: Exit::Refused, ..there.into() });
        }
        opened => opened.with_context(|| format!("failed to write {}", path.display()))?,
    };
    file.write_all(TEMPLATE.as_bytes()).with_context(|| format!("failed to write {}", path.display()))?;
    let plugins = path.with_file_name(PLUGINS);
    create_dir_all(&plugins).with_context(|| format!("failed to make {}", plugins.display()))?;
    writeln!(context.console.out, "wrote {}, and made {} for plugins", path.display(), plugins.display())?;
    writeln!(context.console.out, "Next: change its backends, then `pointsman check` and `pointsman run`")?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn what_is_written_serves_and_so_does_each_line_that_is_commented_out() {
        let config = crate::config::parse(TEMPLATE, Path::new("pointsman.toml")).unwrap();
        assert_eq!((config.listeners.len(), config.pools.len(), config.routes.len()), (1, 1, 1));
        assert_eq!(config.plugins.directory, Some(PLUGINS.into()));
        // A commented-out key is one that has a value; sentences have none.
        let uncommented: String = TEMPLATE
            .lines()
            .map(|line| {
                let is_key = |key: &str| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
                let is_toml =
                    |rest: &&str| rest.starts_with('[') || rest.split_once(" = ").is_some_and(|(key, _)| is_key(key));
                format!("{}\n", line.strip_prefix("# ").filter(is_toml).unwrap_or(line))
            })
            .collect();
        assert_ne!(uncommented, TEMPLATE);
        let problems = crate::config::parse(&uncommented, Path::new("pointsman.toml")).map(drop);
        assert_eq!(problems, Ok(()), "{uncommented}");
    }
}
