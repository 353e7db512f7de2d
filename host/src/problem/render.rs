//! A problem as people read it: headline, place with carets, cause and remedy, what still serves.

use super::{Problem, Severity, Spot};
use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};

/// How to draw.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// With terminal colours.
    pub color: bool,
    /// With the raw cause.
    pub detail: bool,
}

/// The problem as a block of lines that ends with a newline.
pub fn render(problem: &Problem, style: Style) -> String {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING.with_name("warn"),
        Severity::Info => Level::INFO,
    };
    let title = level.primary_title(problem.headline.as_str()).id(problem.code.to_string());
    let notes = problem.notes.iter().chain(&problem.serving).map(|note| plain(note));
    let detail = problem.detail.iter().filter(|_| style.detail).map(|detail| plain(&format!("detail: {detail}")));
    let notes = notes.chain(detail);
    let renderer = if style.color { Renderer::styled() } else { Renderer::plain() };
    let Some(spot) = &problem.spot else {
        // Without a text beside it there is no margin to line up with.
        let notes = notes.map(|note| format!("  = {}\n", note.replace('\n', "\n    ")));
        return format!("{}\n{}", renderer.render(&[Group::with_title(title)]), notes.collect::<String>());
    };
    let notes = notes.map(|text| Level::NOTE.no_name().message(text));
    format!("{}\n", renderer.render(&[title.element(snippet(spot, &problem.label)).elements(notes)]))
}

fn snippet<'a>(spot: &'a Spot, label: &'a str) -> Snippet<'a, Annotation<'a>> {
    // A span that ends inside a character, or behind the text, would be drawn elsewhere or not at all.
    let start = spot.source.floor_char_boundary(spot.span.start);
    let end = spot.source.ceil_char_boundary(spot.span.end).max(start);
    let mark = AnnotationKind::Primary.span(start..end);
    let mark = if label.is_empty() { mark } else { mark.label(label) };
    Snippet::source(&*spot.source).path(spot.file.to_string_lossy()).annotation(mark)
}

/// Notes are drawn as they are: what a guest or a file put into them must not move the reader's cursor.
fn plain(note: &str) -> String {
    annotate_snippets::normalize_untrusted_str(note)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Code;

    fn shown(problem: &Problem) -> String {
        render(problem, Style::default())
    }

    fn misspelt() -> Problem {
        let source = "[pool.cart]\n# ü\nbackend = [\"10.0.0.1:8080\"]\n";
        let start = source.find("backend").unwrap();
        let spot = Spot { file: "pointsman.toml".into(), source: source.into(), span: start..start + 7 };
        Problem::error(Code::UNKNOWN_KEY, "unknown key `backend` in pool \"cart\"")
            .at(spot, "did you mean `backends`?")
            .note("valid keys here: backends, balancer")
    }

    #[test]
    fn a_place_is_drawn_with_carets_hint_and_note() {
        let expected = r#"error[PM0101]: unknown key `backend` in pool "cart"
 --> pointsman.toml:3:1
  |
3 | backend = ["10.0.0.1:8080"]
  | ^^^^^^^ did you mean `backends`?
  |
  = valid keys here: backends, balancer
"#;
        assert_eq!(shown(&misspelt()), expected);
    }

    #[test]
    fn without_a_place_the_notes_stand_below_the_headline() {
        let problem = Problem::warning(Code::TRAPPED, "mine 3f9c2a1 trapped in pick")
            .note("panicked at src/lib.rs:31:9\nindex out of bounds")
            .serving("round-robin serves")
            .detail("wasm trap");
        let expected = "\
warn[PM0401]: mine 3f9c2a1 trapped in pick
  = panicked at src/lib.rs:31:9
    index out of bounds
  = round-robin serves
";
        assert_eq!(shown(&problem), expected);
        let verbose = render(&problem, Style { detail: true, ..Style::default() });
        assert!(verbose.ends_with("= detail: wasm trap\n"), "{verbose}");
    }

    #[test]
    fn colour_comes_only_when_asked_for_and_never_from_a_guest() {
        let problem = misspelt().note("\u{1b}[31mred");
        assert!(!shown(&problem).contains('\u{1b}'));
        assert!(render(&problem, Style { color: true, ..Style::default() }).contains('\u{1b}'));
        assert!(!problem.line().contains('\u{1b}'));
    }

    #[test]
    fn a_span_outside_the_text_or_inside_a_character_is_drawn_too() {
        #[expect(clippy::reversed_empty_ranges, reason = "a span that is wrong")]
        for span in [0..100, 100..200, 15..15, 14..15, 3..1] {
            let mut problem = misspelt();
            problem.spot.as_mut().unwrap().span = span.clone();
            assert!(shown(&problem).contains("--> pointsman.toml"), "{span:?}");
        }
    }

    #[test]
    fn the_log_line_has_everything_and_is_one_line() {
        assert_eq!(
            misspelt().note("two\nlines").serving("nothing serves").line(),
            "PM0101: unknown key `backend` in pool \"cart\" (pointsman.toml:3); did you mean `backends`?; \
             valid keys here: backends, balancer; two lines; nothing serves"
        );
    }
}
