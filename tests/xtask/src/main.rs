//! `cargo xtask`: builds what runs inside the balancer, the stock plugins and the guests of the tests, then does the work.
//! Quiet and quick when there is nothing to build.

mod bench;
mod cargo;
mod cases;
mod debian;
mod fuzz;
mod guests;
mod judges;
mod soak;
mod stock;
mod test;
mod try_out;

use cargo::cargo;
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask TASK

  try [ARGS]     build all there is and run `pointsman try ARGS`
  test [ARGS]    run every test, and list what became of the cases; ARGS go to `cargo test`
  soak [--minutes N] [--seed S]
                 three backends under load, one after the other killed, started anew, slowed; prints what became of all
  fuzz [TARGET] [--minutes N]
                 fuzz what reads requests, answers, chunks, PROXY heads, routes, configurations; all, or that one
  stock          build the stock plugins into host/stock, where the host embeds them
  check          what must hold before any test: format, and clippy without a warning
  bench [ARGS]   run the host's benches; ARGS go to `cargo bench`
  bench pick [ARGS]
                 what a pick of each stock balancer costs, and whether that is within what its plugin.toml promises
  bench fairness|floods|idle [--rounds N] [--seconds N] [--connections N]
                 beside nginx, with one worker each: what busy and hostile clients cost the others, what idle ones do
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let task = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let done = match task.as_str() {
        "try" => try_out::run(&rest),
        "test" => test::run(&rest),
        "soak" => soak::run(&rest),
        "fuzz" => fuzz::run(&rest),
        "stock" => stock::build(),
        "check" => check(),
        "bench" => bench::run(&rest),
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

fn check() -> anyhow::Result<()> {
    cargo(["fmt", "--all", "--check"])?;
    stock::build()?;
    cargo(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
}
