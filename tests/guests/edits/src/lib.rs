//! A filter that does what its settings list, word by word: `{"do": [["set-header", "x-a", "1"], ["respond", "418", "no"]]}`.

use pointsman_sdk::prelude::*;
use serde::Deserialize;
use std::hint::black_box;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default, rename = "do")]
    steps: Vec<Vec<String>>,
}

struct Edits {
    steps: Vec<Vec<String>>,
}

impl Filter for Edits {
    type Settings = Settings;

    fn new(settings: Settings, _: &Place) -> Result<Self, String> {
        let edits = Edits { steps: settings.steps };
        match edits.steps.iter().find(|step| !is_known(step)) {
            Some(step) => Err(format!("`do`: nobody knows how to {step:?}")),
            None => Ok(edits),
        }
    }

    fn on_request(&mut self, _: &Turn) -> Verdict {
        for step in &self.steps {
            let words: Vec<&str> = step.iter().map(String::as_str).collect();
            match words[..] {
                // The rest is for requests with this header only: so a filter passes its admission and fails later.
                ["only-if", header] if request::header(header).is_none() => return Verdict::Next,
                ["set-header", name, value] => edits::set_header(name, value.as_bytes()),
                ["append-header", name, value] => edits::append_header(name, value.as_bytes()),
                ["remove-header", name] => edits::remove_header(name),
                ["set-path", target] => edits::set_path(target.as_bytes()),
                ["set-authority", value] => edits::set_authority(value),
                ["set-tag", name, value] => edits::set_tag(name, value),
                // What an earlier filter said, where the backend sees it.
                ["tag-to-header", tag, header] => {
                    edits::set_header(header, request::tag(tag).unwrap_or_default().as_bytes());
                }
                ["path-to-header", header] => edits::set_header(header, &request::path()),
                ["client-to-header", header] => edits::set_header(header, request::client_address().as_bytes()),
                ["respond", status, body] => return respond(status, body),
                // An answer is written, and the verdict says there is none.
                ["respond-unsaid", status, body] => {
                    respond(status, body);
                }
                // The verdict says there is an answer, and none was written.
                ["responded"] => return Verdict::Responded,
                ["panic"] => panic!("asked to panic in on-request"),
                ["loop"] => endless(),
                ["print"] => {
                    println!("printed in on-request");
                    eprintln!("complained in on-request");
                }
                _ => {}
            }
        }
        Verdict::Next
    }
}

filter!(Edits);

fn is_known(step: &[String]) -> bool {
    const KNOWN: [(&str, usize); 16] = [
        ("only-if", 2),
        ("set-header", 3),
        ("append-header", 3),
        ("remove-header", 2),
        ("set-path", 2),
        ("set-authority", 2),
        ("set-tag", 3),
        ("tag-to-header", 3),
        ("path-to-header", 2),
        ("client-to-header", 2),
        ("respond", 3),
        ("respond-unsaid", 3),
        ("responded", 1),
        ("panic", 1),
        ("loop", 1),
        ("print", 1),
    ];
    step.first().is_some_and(|word| KNOWN.contains(&(word.as_str(), step.len())))
}

fn respond(status: &str, body: &str) -> Verdict {
    edits::respond(status.parse().unwrap_or(0), &[("content-type", b"text/plain")], body.as_bytes())
}

fn endless() -> ! {
    let mut round = 0_u64;
    loop {
        round = black_box(round + 1);
    }
}
