//! Configuration as users meet it: the binary reads a file and tells everything that is wrong with it at once.

use pointsman_tests::{certs::Certificate, cli::Room, origin::Origin, sockets::Place};

const FIVE_MISTAKES: &str = r#"[[listen]]
address = "127.0.0.1:0"
timout = { head = "10s" }

[pool.cart]
backend = ["127.0.0.1:1"]
backends = ["127.0.0.1:1"]
timeout = 30

[pool.static]
backends = ["127.0.0.1:70000"]

[[route]]
pool = "carts"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn five_mistakes_are_five_messages_with_carets() {
    let room = Room::new();
    room.write("pointsman.toml", FIVE_MISTAKES);
    for command in [&["check"][..], &["run"], &["check", "-c", "pointsman.toml"]] {
        let said = room.run(command).await;
        assert_eq!(said.code, Some(2), "{command:?}: {}", said.stderr);
        assert_eq!(said.stderr.matches("error[PM").count(), 5, "{}", said.stderr);
        assert_eq!(said.stderr.lines().filter(|line| line.contains("^^")).count(), 5, "{}", said.stderr);
        for expected in [
            "error[PM0101]: unknown key `timout`",
            "did you mean `timeout`?",
            "pointsman.toml:3:1",
            "error[PM0101]: unknown key `backend` in pool \"cart\"",
            "did you mean `backends`?",
            "pointsman.toml:6:1",
            "valid keys here: backends, ",
            "error[PM0102]",
            "pointsman.toml:8:",
            "\"30s\"",
            "pointsman.toml:11:",
            "error[PM0103]",
            "\"carts\"",
            "did you mean \"cart\"?",
        ] {
            assert!(said.stderr.contains(expected), "{command:?}: {expected:?} is not in\n{}", said.stderr);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_init_writes_passes_check_but_for_its_backends() {
    let room = Room::new();
    let said = room.run(&["init"]).await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    // Whatever the machine has on the ports that it names: only its listener's may be taken, its backend is a warning.
    let free = Place::new();
    let written = std::fs::read_to_string(room.path().join("pointsman.toml")).unwrap();
    assert!(written.contains("\"127.0.0.1:8080\"") && written.contains("\"127.0.0.1:3000\""));
    let address = free.address().to_string();
    room.write("pointsman.toml", &written.replace("127.0.0.1:8080", "127.0.0.1:0").replace("127.0.0.1:3000", &address));
    let said = room.run(&["check"]).await;
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{}", said.stdout);
    assert!(said.stdout.lines().any(|line| line.starts_with("! backend app/")), "{}", said.stdout);
    let again = room.run(&["init"]).await;
    assert_ne!(again.code, Some(0), "a file that is there is not written over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_file_is_told_with_ticks() {
    let room = Room::new();
    let origin = Origin::named("a");
    room.write(
        "pointsman.toml",
        &format!(
            "[[listen]]\naddress = \"127.0.0.1:0\"\n[pool.shop]\nbackends = [\"{}\"]\nbalancer = \"least-request\"\n",
            origin.address()
        ),
    );
    let said = room.run(&["check"]).await;
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    assert!(said.stdout.contains("✓ pointsman.toml") && said.stdout.contains("least-request"), "{}", said.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_or_missing_plugin_is_a_warning_and_strict_makes_it_an_error() {
    let room = Room::new();
    let origin = Origin::named("a");
    std::fs::create_dir(room.path().join("plugins")).unwrap();
    std::fs::write(room.path().join("plugins/core.wasm"), pointsman_tests::guests::core_module()).unwrap();
    room.write(
        "pointsman.toml",
        &format!(
            "[[listen]]\naddress = \"127.0.0.1:0\"\n[pool.one]\nbackends = [\"{0}\"]\nbalancer = \"core\"\n\
             [pool.two]\nbackends = [\"{0}\"]\nbalancer = \"least-requests\"\n[plugins]\ndirectory = \"plugins\"\n\
             [[route]]\npool = \"one\"\n",
            origin.address()
        ),
    );
    let said = room.run(&["check"]).await;
    let words = format!("{}{}", said.stdout, said.stderr);
    assert_eq!(said.code, Some(0), "{words}");
    for expected in ["PM0301", "core module", "PM0309", "least-requests", "did you mean \"least-request\"?"] {
        assert!(words.contains(expected), "{expected:?} is not in\n{words}");
    }
    assert_eq!(room.run(&["check", "--strict"]).await.code, Some(2));
    assert_eq!(room.run(&["run", "--strict"]).await.code, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_it_from_starting_is_told_at_once() {
    let room = Room::new();
    let (one, other) = (Certificate::new(&["a.test"]), Certificate::new(&["b.test"]));
    room.write("one.pem", &one.chain);
    room.write("one.key", &one.key);
    room.write("other.key", &other.key);
    let place = Place::new();
    let _taken = place.listen();
    room.write(
        "pointsman.toml",
        &format!(
            "[[listen]]\naddress = \"{}\"\n\
             [[listen]]\naddress = \"127.0.0.1:0\"\ntls = {{ cert = \"missing.pem\", key = \"one.key\" }}\n\
             [[listen]]\naddress = \"127.0.0.1:0\"\ntls = {{ cert = \"one.pem\", key = \"other.key\" }}\n\
             [pool.shop]\nbackends = [\"127.0.0.1:1\"]\n",
            place.address()
        ),
    );
    for command in ["check", "run"] {
        let said = room.run(&[command]).await;
        assert_eq!(said.code, Some(2), "{command}: {}", said.stderr);
        for expected in ["PM0201", "in use", "PM0211", "missing.pem", "PM0212", "other.key"] {
            assert!(said.stderr.contains(expected), "{command}: {expected:?} is not in\n{}", said.stderr);
        }
        let pid = std::process::id().to_string();
        assert!(said.stderr.contains(&pid), "{command}: who holds the address is not in\n{}", said.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_is_refused_unless_allowed() {
    let room = Room::new();
    let expired = Certificate::expired(&["a.test"]);
    room.write("cert.pem", &expired.chain);
    room.write("cert.key", &expired.key);
    room.write(
        "pointsman.toml",
        "[[listen]]\naddress = \"127.0.0.1:0\"\ntls = { cert = \"cert.pem\", key = \"cert.key\" }\n\
         [pool.shop]\nbackends = [\"127.0.0.1:1\"]\n",
    );
    let said = room.run(&["run"]).await;
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("PM0213") && said.stderr.contains("expired"), "{}", said.stderr);
    let mut running = room.start(&["run", "--allow-expired"]);
    room.answers("status").await;
    running.terminate();
    assert_eq!(running.ends().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_code_has_its_page() {
    let room = Room::new();
    let codes: Vec<String> = pointsman::problem::ENTRIES.iter().map(|entry| entry.code.to_string()).collect();
    assert!(codes.len() > 20, "{codes:?}");
    for code in codes.iter().map(String::as_str).chain(["pm0301", "401"]) {
        let said = room.run(&["explain", code]).await;
        assert!(
            said.code == Some(0) && said.stdout.contains("## What to do"),
            "{code}: {}{}",
            said.stdout,
            said.stderr
        );
    }
    assert_eq!(room.run(&["explain", "PM9999"]).await.code, Some(2));
    let schema = room.run(&["schema"]).await;
    let schema: serde_json::Value = serde_json::from_str(&schema.stdout).expect("JSON");
    assert!(schema["properties"]["pool"].is_object());
    assert!(room.run(&["version"]).await.stdout.contains(env!("CARGO_PKG_VERSION")));
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_exit_2_and_nobody_there_is_exit_3() {
    let room = Room::new();
    assert_eq!(room.run(&["no-such-command"]).await.code, Some(2));
    assert_eq!(room.run(&["run"]).await.code, Some(2), "there is no file");
    let said = room.run(&["status"]).await;
    assert_eq!(said.code, Some(3));
    assert!(said.stderr.contains("PM0601") && said.stderr.contains("--admin"), "{}", said.stderr);
}
