//! A command: a component, but no plugin. It exports `wasi:cli/run`.

fn main() {
    println!("a command");
}
