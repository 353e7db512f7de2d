//! `cargo xtask`: builds what runs inside the balancer, the stock plugins and the guests of the tests, then does the work.
//! Quiet and quick when there is nothing to build.

mod cargo;
mod stock;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask TASK

  stock          build the stock plugins into host/stock, where the host embeds them
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let task = args.next().unwrap_or_default();
    let done = match task.as_str() {
        "stock" => stock::build(),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
