//! A file of Rust, read just well enough: what is a comment, a string or a test is blanked, line numbers stay.

/// One file.
pub(super) struct Source {
    /// From the top of the repository.
    pub(super) path: String,
    /// As written.
    pub(super) text: String,
    code: String,
}

impl Source {
    pub(super) fn new(path: String, text: String) -> Source {
        let is_test = path.ends_with("/tests.rs") || path.contains("/tests/");
        let code = if is_test && path.starts_with("host/") { String::new() } else { without_tests(&blanked(&text)) };
        Source { path, text, code }
    }

    /// The room of the host it belongs to; `lib.rs` is the sign at the door and belongs to none.
    pub(super) fn room(&self) -> Option<String> {
        let inside = self.path.strip_prefix("host/src/")?;
        let room = inside.split('/').next()?.trim_end_matches(".rs");
        (!["lib", "manual"].contains(&room)).then(|| room.to_owned())
    }

    /// The other rooms it names, each with its line.
    pub(super) fn rooms_used(&self) -> Vec<(usize, String)> {
        let room = self.room().unwrap_or_default();
        let mut used = Vec::new();
        for (at, _) in self.words("crate") {
            for (at, name) in self.named_behind(at + "crate".len()) {
                used.push((self.line(at), name));
            }
        }
        // `super` as often as the file is deep leads to the top of the crate.
        let up = vec!["super"; self.depth()].join("::");
        for (at, _) in self.code.match_indices(&format!("{up}::")) {
            let further = self.code[..at].ends_with("super::");
            if self.depth() > 0 && !further && !self.code[at + up.len() + 2..].starts_with("super") {
                for (at, name) in self.named_behind(at + up.len()) {
                    used.push((self.line(at), name));
                }
            }
        }
        used.retain(|(_, name)| *name != room);
        used.sort();
        used.dedup();
        used
    }

    /// The packages that it names, each with its line.
    pub(super) fn packages_named(&self, packages: &[&str]) -> Vec<(usize, String)> {
        let mut named = Vec::new();
        for package in packages {
            for (at, _) in self.words(package) {
                let (before, behind) = (&self.code[..at], self.code[at + package.len()..].trim_start());
                let inside_a_path = before.ends_with("::");
                let imported = before.trim_end().ends_with("use") && behind.starts_with([';', ':', ' ']);
                if !inside_a_path && (behind.starts_with("::") || imported) {
                    named.push((self.line(at), (*package).to_owned()));
                }
            }
        }
        named
    }

    /// The lines on which this word stands, alone or as part of a name.
    pub(super) fn lines_with(&self, word: &str) -> Vec<usize> {
        let lower = self.code.to_lowercase();
        let part = word.to_lowercase();
        let mut lines: Vec<usize> = lower
            .match_indices(&part)
            .filter(|(at, _)| !neighbours_a_letter(&lower, *at, part.len()))
            .map(|(at, _)| self.line(at))
            .collect();
        lines.dedup();
        lines
    }

    /// Where this word stands by itself.
    fn words<'a>(&'a self, word: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
        let part_of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        self.code.match_indices(word).filter(move |(at, _)| {
            let bytes = self.code.as_bytes();
            let before = at.checked_sub(1).is_some_and(|before| part_of_a_name(bytes[before]));
            let behind = bytes.get(at + word.len()).is_some_and(|&byte| part_of_a_name(byte));
            !before && !behind
        })
    }

    /// The first segments of the path, or of the group of paths, behind `::` at this place.
    fn named_behind(&self, at: usize) -> Vec<(usize, String)> {
        let Some(path) = self.code[at..].strip_prefix("::") else { return Vec::new() };
        let at = at + 2;
        let Some(group) = path.strip_prefix('{') else { return vec![(at, first_name(path))] };
        let (mut depth, mut fresh, mut names) = (0, true, Vec::new());
        for (offset, letter) in group.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => fresh = true,
                letter if fresh && !letter.is_whitespace() => {
                    names.push((at + 1 + offset, first_name(&group[offset..])));
                    fresh = false;
                }
                _ => {}
            }
        }
        names
    }

    /// How deep the file's module lies: `host/src/proxy/mod.rs` 1, `host/src/proxy/forward.rs` 2.
    fn depth(&self) -> usize {
        let inside = self.path.strip_prefix("host/src/").unwrap_or_default();
        inside.split('/').filter(|part| !part.is_empty() && *part != "mod.rs").count()
    }

    fn line(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }
}

fn neighbours_a_letter(text: &str, at: usize, length: usize) -> bool {
    let bytes = text.as_bytes();
    let before = at.checked_sub(1).is_some_and(|before| bytes[before].is_ascii_alphanumeric());
    before || bytes.get(at + length).is_some_and(u8::is_ascii_alphanumeric)
}

fn first_name(path: &str) -> String {
    path.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

/// Comments, strings and characters become spaces.
fn blanked(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < letters.len() {
        let length = blank_length(&letters[at..]);
        if length == 0 {
            out.push(letters[at]);
            at += 1;
        } else {
            let blank = |letter: &char| if *letter == '\n' { '\n' } else { ' ' };
            out.extend(letters[at..(at + length).min(letters.len())].iter().map(blank));
            at += length;
        }
    }
    out
}

/// How many letters from here on are no code; 0 when there is code.
fn blank_length(letters: &[char]) -> usize {
    match letters {
        ['/', '/', ..] => letters.iter().position(|letter| *letter == '\n').unwrap_or(letters.len()),
        ['/', '*', ..] => ends_with(letters, 2, &['*', '/']),
        ['r', '#', '"', ..] => ends_with(letters, 3, &['"', '#']),
        ['r', '"', ..] => ends_with(letters, 2, &['"']),
        ['"', ..] => quoted(letters, '"'),
        // A character, not a lifetime.
        ['\'', '\\', ..] | ['\'', _, '\'', ..] => quoted(letters, '\''),
        _ => 0,
    }
}

fn ends_with(letters: &[char], from: usize, end: &[char]) -> usize {
    let rest = &letters[from.min(letters.len())..];
    rest.windows(end.len()).position(|window| window == end).map_or(letters.len(), |at| from + at + end.len())
}

fn quoted(letters: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < letters.len() && letters[at] != quote {
        at += if letters[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// The module of tests at the foot of a file becomes empty lines: it may use what it proves its room with.
fn without_tests(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut inside = false;
    let mut lines = code.lines().peekable();
    while let Some(line) = lines.next() {
        let next_is_module = lines.peek().is_some_and(|next| next.starts_with("mod ") && next.ends_with('{'));
        inside |= line == "#[cfg(test)]" && next_is_module;
        if !inside {
            out.push_str(line);
        }
        out.push('\n');
        inside &= line != "}";
    }
    out
}
