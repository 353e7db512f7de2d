//! What lies in `examples/` works as it stands. That `hello-balancer` is what `plugin new` writes is proved where that is
//! written; that it builds and passes its own test, by `cargo xtask test`.

use pointsman::config;
use std::{fs, path::Path};

#[test]
fn configurations_are_taken() {
    let mut taken = 0;
    for folder in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")).unwrap() {
        let file = folder.unwrap().path().join("pointsman.toml");
        if file.is_file() {
            config::load(&file).unwrap_or_else(|problems| panic!("{}: {problems:#?}", file.display()));
            taken += 1;
        }
    }
    assert!(taken > 0);
}
