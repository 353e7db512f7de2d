//! Messages show lines of the file; what is secret in them is not shown.

/// Keys whose values are.
const KEYS: [&str; 1] = ["secret"];

/// The text with each byte of its secrets drawn as a star, so that all places stay where they are. It is looked at as it
/// stands, for a file may be no TOML yet: the strings behind such a key's `=`, in brackets or without, are blanked.
pub(super) fn blanked(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((value, is_list)) = next_value(rest) {
        shown += &rest[..value];
        rest = &rest[value..];
        let after = blank_value(rest, is_list, &mut shown);
        rest = &rest[after..];
    }
    shown + rest
}

/// Where the next secret's value begins, behind a list's bracket, and whether it is a list.
fn next_value(text: &str) -> Option<(usize, bool)> {
    let found = KEYS.into_iter().flat_map(|key| text.match_indices(key)).filter_map(|(at, key)| {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if text[..at].ends_with(is_part) {
            return None;
        }
        let behind = text[at + key.len()..].trim_start_matches(['"', '\'']).trim_start_matches([' ', '\t']);
        let value = behind.strip_prefix('=')?.trim_start_matches([' ', '\t']);
        let items = value.strip_prefix('[');
        Some((text.len() - items.unwrap_or(value).len(), items.is_some()))
    });
    found.min()
}

/// Draws the strings of a value, and what stands between them; how far it goes.
fn blank_value(text: &str, is_list: bool, shown: &mut String) -> usize {
    let mut quote = None;
    let mut is_escaped = false;
    for (at, c) in text.char_indices() {
        match quote {
            None if c == '"' || c == '\'' => quote = Some(c),
            None if is_list && c != ']' => {}
            None => return at,
            // A string that does not end, ends with its line.
            Some(_) if c == '\n' => quote = None,
            Some(end) if c == end && !is_escaped => {
                quote = None;
                if !is_list {
                    shown.push(c);
                    return at + 1;
                }
            }
            Some(end) => {
                is_escaped = c == '\\' && end == '"' && !is_escaped;
                shown.extend(std::iter::repeat_n('*', c.len_utf8()));
                continue;
            }
        }
        is_escaped = false;
        shown.push(c);
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn strings_behind_the_key_are_stars() {
        for (text, shown) in [
            ("secret = \"abc\"\nname = \"x\"", "secret = \"***\"\nname = \"x\""),
            ("cookie = { secret='a\"b', ttl = 7 }", "cookie = { secret='***', ttl = 7 }"),
            (
                "secret = [\n  \"abc\", # old\n  'de]',\n]\nx = \"y\"",
                "secret = [\n  \"***\", # old\n  '***',\n]\nx = \"y\"",
            ),
            ("\"secret\" = \"a\\\"b\" # c", "\"secret\" = \"****\" # c"),
            ("cookie.secret = \"ü", "cookie.secret = \"**"),
            ("secret = \"ab\nx = \"y\"", "secret = \"**\nx = \"y\""),
            ("secret_file = \"/etc/x\"\nmy_secret = \"a\"", "secret_file = \"/etc/x\"\nmy_secret = \"a\""),
            ("# the secret is \"x\"", "# the secret is \"x\""),
            ("secret = 7", "secret = 7"),
        ] {
            assert_eq!(blanked(text), shown);
        }
    }

    proptest! {
        #[test]
        fn places_stay_where_they_are(pieces in prop::collection::vec(prop::sample::select(vec!["secret", "=", " ", "[", "]", "\"", "'", "\\", "ü", "a", "\n"]), 0..24)) {
            let text = pieces.concat();
            let shown = blanked(&text);
            prop_assert_eq!(shown.len(), text.len());
            let lines = |text: &str| text.match_indices('\n').map(|(at, _)| at).collect::<Vec<_>>();
            prop_assert_eq!(lines(&shown), lines(&text));
        }
    }
}
