//! The commands as a user would give them.

use super::*;
use clap::CommandFactory;
use std::{fs, path::Path};

/// What a command did: exit code, standard output, standard error.
struct Done {
    exit: Exit,
    out: String,
    err: String,
}

fn pointsman(words: &[&str]) -> Done {
    let args = Args::try_parse_from([&["pointsman"], words].concat()).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = dispatch(args, Console::plain(&mut out, &mut err));
    Done { exit, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

fn golden(path: &str) -> String {
    format!("{}/../tests/golden/{path}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_tree_of_commands_is_sound() {
    Args::command().debug_assert();
}

#[test]
fn usage_errors_are_told_apart_from_answers() {
    let kind = |words: &[&str]| Args::try_parse_from(words).unwrap_err().exit_code();
    assert_eq!(kind(&["pointsman", "--help"]), 0);
    assert_eq!(kind(&["pointsman", "srve"]), 2);
    assert_eq!(kind(&["pointsman", "schema", "--admin", "10.0.0.1:9000"]), 2);
    assert_eq!(kind(&["pointsman", "schema", "-v", "-q"]), 2);
}

#[test]
fn explain_prints_the_page_of_a_code_and_lists_all_without_one() {
    let page = pointsman(&["explain", "pm0301"]);
    assert_eq!(page.exit, Exit::Ok);
    assert!(page.out.starts_with("# PM0301: ") && page.out.contains("wasm32-wasip2"), "{}", page.out);
    let list = pointsman(&["explain"]);
    assert!(list.out.lines().any(|line| line.starts_with("PM0601  ")), "{}", list.out);
    let unknown = pointsman(&["explain", "PM9999"]);
    assert_eq!((unknown.exit, unknown.out.as_str()), (Exit::Refused, ""));
    assert!(unknown.err.starts_with("error: no code \"PM9999\""), "{}", unknown.err);
}

#[test]
fn schema_goes_to_standard_output_and_is_json() {
    let schema = pointsman(&["schema"]);
    assert_eq!((schema.exit, schema.err.as_str()), (Exit::Ok, ""));
    let json: serde_json::Value = serde_json::from_str(&schema.out).unwrap();
    assert!(json["properties"]["pool"].is_object());
}

#[test]
fn version_says_more_when_asked() {
    let plain = pointsman(&["version"]).out;
    assert_eq!(plain, format!("pointsman {}\n", env!("CARGO_PKG_VERSION")));
    assert!(pointsman(&["version", "--verbose"]).out.contains("pointsman:plugin@0.1.0"));
}

#[test]
fn init_writes_once_and_never_over_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("new.toml");
    let words = ["init", "-c", file.to_str().unwrap()];
    assert_eq!(pointsman(&words).exit, Exit::Ok);
    assert!(crate::config::load(&file).is_ok());
    fs::write(&file, "mine").unwrap();
    let again = pointsman(&words);
    assert_eq!(again.exit, Exit::Refused);
    assert!(again.err.contains("is there already"), "{}", again.err);
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
}

#[test]
fn status_of_nobody_ends_with_3_and_says_where_it_asked() {
    let directory = tempfile::tempdir().unwrap();
    let admin = format!("unix:{}", directory.path().join("admin.sock").display());
    let nobody = pointsman(&["status", "--json", "--admin", &admin]);
    assert_eq!((nobody.exit, nobody.out.as_str()), (Exit::Unreachable, ""));
    let expected = format!("error[PM0601]: no Pointsman answers on {admin}\n");
    assert!(nobody.err.starts_with(&expected), "{}", nobody.err);
    assert!(nobody.err.contains("= is `pointsman run` or `try` up? other address: --admin\n"), "{}", nobody.err);
}

#[test]
fn check_and_run_refuse_a_bad_file_with_all_its_messages() {
    let file = golden("config/bad/five-mistakes.toml");
    for command in ["check", "run"] {
        let refused = pointsman(&[command, "-c", &file]);
        assert_eq!((refused.exit, refused.out.as_str()), (Exit::Refused, ""), "{command}");
        assert_eq!(refused.err.matches("error[PM0").count(), 5, "{}", refused.err);
        assert_eq!(refused.err.matches(&format!("--> {file}:")).count(), 5, "{}", refused.err);
    }
    let missing = pointsman(&["check", "-c", "/nowhere/pointsman.toml"]);
    assert_eq!(missing.exit, Exit::Refused);
    assert!(missing.err.starts_with("error[PM0104]: cannot read /nowhere/pointsman.toml"), "{}", missing.err);
}

#[test]
fn check_lists_what_is_well_and_only_warns_of_what_is_no_outage() {
    let directory = tempfile::tempdir().unwrap();
    let up = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let down = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let file = write(
        directory.path(),
        &format!(
            "[[listen]]\naddress = \"127.0.0.1:0\"\n\
             [pool.cart]\nbackends = [\"{}\", \"{down}\", \"no.invalid:80\"]\nbalancer = \"no-such-plugin\"\n\
             [admin]\naddress = \"unix:{}/admin.sock\"\n[server]\nresolver = \"127.0.0.1\"\n",
            up.local_addr().unwrap(),
            directory.path().display()
        ),
    );
    let done = pointsman(&["check", "-c", &file]);
    assert_eq!((done.exit, done.err.as_str()), (Exit::Ok, ""), "{}", done.out);
    let lines: Vec<_> = done.out.lines().collect();
    let has = |start: &str, rest: &str| lines.iter().any(|line| line.starts_with(start) && line.contains(rest));
    assert!(has(&format!("✓ {file} "), "1 listener, 1 pool, 1 route"), "{}", done.out);
    assert!(has("✓ port 127.0.0.1:0 ", "is free"), "{}", done.out);
    assert!(has("! plugin ", "PM0309"), "{}", done.out);
    assert!(has("! backend cart/", "it will start unhealthy"), "{}", done.out);
    assert!(has("! name ", "no.invalid cannot be looked up"), "{}", done.out);
    assert!(has("✓ pool cart ", "1 of 2 backends answer"), "{}", done.out);
    assert!(has(&format!("✓ admin unix:{}/admin.sock ", directory.path().display()), "is free"), "{}", done.out);
    assert_eq!(lines.last(), Some(&"4 checks passed, 3 warnings"));
    assert_eq!(pointsman(&["check", "--strict", "-c", &file]).exit, Exit::Refused);
}

#[test]
fn check_refuses_an_admin_address_that_another_has() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("admin.sock");
    let _live = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let file = write(
        directory.path(),
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[pool.cart]\nbackends = [\"127.0.0.1:9\"]\nbalancer = \"random\"\n",
    );
    let done = pointsman(&["check", "-c", &file, "--admin", &format!("unix:{}", socket.display())]);
    assert_eq!(done.exit, Exit::Refused, "{}", done.out);
    assert!(done.err.contains("error[PM0201]: cannot listen on admin address unix:"), "{}", done.err);
    assert!(socket.exists(), "what is not ours stays");
}

#[test]
fn check_refuses_a_taken_port_and_a_missing_certificate_together() {
    let directory = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let file = write(
        directory.path(),
        &format!(
            "[[listen]]\naddress = \"{}\"\ntls = {{ cert = \"a.pem\", key = \"a.key\" }}\n\
             [pool.cart]\nbackends = [\"127.0.0.1:9\"]\nbalancer = \"random\"\n",
            taken.local_addr().unwrap()
        ),
    );
    let done = pointsman(&["check", "-c", &file]);
    assert_eq!(done.exit, Exit::Refused);
    for code in ["error[PM0201]: cannot listen on ", "error[PM0211]: "] {
        assert!(done.err.contains(code), "{code} in {}", done.err);
    }
}

fn write(directory: &Path, text: &str) -> String {
    let file = directory.join("pointsman.toml");
    fs::write(&file, text).unwrap();
    file.to_str().unwrap().into()
}
