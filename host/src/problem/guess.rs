//! What somebody may have meant by a name that does not exist.

/// Below this two names have nothing to do with each other. Jaro-Winkler, because people remember how a name begins.
const LIKENESS: f64 = 0.8;

/// The candidate most like the word, if one is like it at all.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let likeness = candidates.into_iter().map(|name| (strsim::jaro_winkler(&word, &name.to_lowercase()), name));
    let best = likeness.filter(|(likeness, _)| *likeness >= LIKENESS).max_by(|a, b| a.0.total_cmp(&b.0));
    best.map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likely_slips_are_recognised_and_strangers_are_not() {
        let keys = ["backends", "balancer", "settings", "fallback", "hash", "health", "timeout"];
        for (word, meant) in [
            ("backend", Some("backends")),
            ("balancr", Some("balancer")),
            ("Timeouts", Some("timeout")),
            ("setting", Some("settings")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(did_you_mean(word, keys), meant, "{word}");
        }
        assert_eq!(did_you_mean("least-loaded", ["round-robin", "least-request", "random"]), Some("least-request"));
    }
}
