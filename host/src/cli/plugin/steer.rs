//! `pointsman plugin rollback`, `pin` and `unpin`: which generation of a plugin serves, by an operator's word.

use super::Named;
use crate::{
    admin::api::{HeldBack, Steered},
    cli::{Context, Exit, Failure, client::Client, status::latency},
};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Named,
    /// The generation's hash, or how it begins; `plugin history` lists them
    #[arg(value_name = "HASH", value_parser = hash)]
    hash: Option<String>,
}

/// It becomes a part of a path.
fn hash(text: &str) -> Result<String, String> {
    match !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(text.to_owned()),
        false => Err("a hash is hexadecimal digits".into()),
    }
}

/// `rollback` and `pin`.
pub(super) fn run(args: &Args, what: &str, context: &mut Context<'_>) -> Result<Exit, Failure> {
    let what = args.hash.as_ref().map_or_else(|| what.to_owned(), |hash| format!("{what}/{hash}"));
    post(&args.which, &what, context)
}

pub(super) fn unpin(which: &Named, context: &mut Context<'_>) -> Result<Exit, Failure> {
    post(which, "unpin", context)
}

fn post(which: &Named, what: &str, context: &mut Context<'_>) -> Result<Exit, Failure> {
    let path = super::path(&which.name, what)?;
    let steered: Steered = Client::new(context.global.admin.as_ref()).post_for(&path)?;
    if which.json {
        context.console.json(&steered)?;
    } else {
        write!(context.console.out, "{}", told(&steered))?;
    }
    Ok(Exit::Ok)
}

fn told(steered: &Steered) -> String {
    let Steered { plugin, from, to, generation, pinned, .. } = steered;
    let pinned = if *pinned { ", pinned" } else { "" };
    let mut text = match from == to {
        true => format!("{plugin}  {to}  serves (generation {generation}{pinned})\n"),
        false => {
            let took = latency(u32::try_from(steered.took_us).unwrap_or(u32::MAX));
            format!("{plugin}  {from} → {to}  live in {took} (generation {generation}{pinned})\n")
        }
    };
    if let Some(HeldBack { file, hash, why }) = &steered.held_back {
        let next = match why.as_str() {
            "quarantined" => "other bytes are tried as ever".to_owned(),
            _ => format!("`pointsman plugin unpin {plugin}` follows it again"),
        };
        text += &format!("{file} holds {hash}, which is held back ({why}); {next}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_who_serves_and_what_is_held_back() {
        let held = HeldBack { file: "plugins/ll.wasm".into(), hash: "3f9c2a1".into(), why: "rolled-back".into() };
        let steered = Steered {
            plugin: "ll".into(),
            from: "3f9c2a1".into(),
            to: "8be0d77".into(),
            generation: 1,
            took_us: 2_000,
            pinned: false,
            held_back: Some(held),
        };
        let text = "ll  3f9c2a1 → 8be0d77  live in 2.0ms (generation 1)\n\
                    plugins/ll.wasm holds 3f9c2a1, which is held back (rolled-back); \
                    `pointsman plugin unpin ll` follows it again\n";
        assert_eq!(told(&steered), text);
        let pinned = Steered { from: "8be0d77".into(), pinned: true, held_back: None, ..steered };
        assert_eq!(told(&pinned), "ll  8be0d77  serves (generation 1, pinned)\n");
    }

    #[test]
    fn a_hash_is_digits() {
        assert!(hash("3f9C2a1").is_ok() && hash("").is_err() && hash("../x").is_err());
    }
}
