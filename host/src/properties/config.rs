//! The configuration: whatever the text, what is wrong with it is told with a place in it, and what is accepted is not
//! changed by what says nothing.

use crate::{
    config::{diff, parse},
    problem::{Style, render},
};
use std::path::Path;

/// The text of a file.
pub fn config(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let file = Path::new("/etc/pointsman/pointsman.toml");
    match parse(text, file) {
        Ok(config) => {
            let with_a_comment = parse(&format!("# A comment.\n{text}\n# Another.\n"), file);
            assert_eq!(with_a_comment.as_ref(), Ok(&config));
            let unlike = diff(&config, &config);
            assert!(unlike.changes.is_empty() && unlike.warnings.is_empty(), "{unlike:?}");
        }
        Err(problems) => {
            assert!(!problems.is_empty(), "refused, and nothing is wrong");
            for problem in problems {
                assert!(!problem.line().contains('\n'), "{problem:?}");
                let Some(spot) = &problem.spot else {
                    // What is not there has no place; what to write is told instead.
                    assert!(!problem.notes.is_empty(), "nobody is told where, nor what to do: {problem:?}");
                    continue;
                };
                assert!(text.get(spot.span.clone()).is_some(), "{:?} is no place in the file: {problem:?}", spot.span);
                assert!(render(&problem, Style::default()).contains(&spot.place()), "{problem:?}");
            }
        }
    }
}
